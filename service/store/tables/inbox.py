"""What Vipps reported: verified webhooks, new entries of an event log, and the last refusals."""

from datetime import datetime

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from service.store.tables.columns import Json, one_of, only_where
from statemachine import Outcome


class StoredVippsEvent(SQLModel, table=True):
    """One received Vipps event, as it came, with what became of it."""

    __tablename__ = "vipps_event"
    __table_args__ = (
        # One Vipps event moves an invoice at most once (I5), through whichever
        # replica, webhook or read it comes: the second lock behind the row lock.
        sa.Index(
            "uq_vipps_event_applied",
            "msn",
            "reference",
            "name",
            "psp_reference",
            unique=True,
            **only_where("outcome = 'applied'"),
        ),
        # Twins of an event are looked up by its key, whatever became of them.
        sa.Index("ix_vipps_event_key", "msn", "reference", "name", "psp_reference"),
        sa.Index("ix_vipps_event_early", "payment_id", **only_where("outcome = 'early'")),
        # A day's bookings, out of years of events.
        sa.Index(
            "ix_vipps_event_booked",
            "msn",
            "occurred_at",
            **only_where("outcome = 'applied' AND name IN ('CAPTURED', 'REFUNDED')"),
        ),
        sa.Index("ix_vipps_event_invoice_id", "invoice_id"),
        # Contradictions, and what only a read has brought: rare, and looked for by people.
        sa.Index(
            "ix_vipps_event_refused", "msn", "received_at", **only_where("outcome = 'refused'")
        ),
        sa.Index(
            "ix_vipps_event_healed",
            "msn",
            "received_at",
            **only_where("source = 'poll' AND outcome = 'applied'"),
        ),
        # Bodies that may go, without reading past those that have gone.
        sa.Index("ix_vipps_event_body", "received_at", **only_where("length(raw) > 0")),
        one_of("outcome", Outcome, "outcome_known"),
        one_of("source", ("webhook", "poll"), "source_known"),
    )

    id: str = Field(primary_key=True)
    msn: str
    source: str
    reference: str | None = None
    name: str | None = None
    psp_reference: str | None = None
    amount_minor: int | None = Field(default=None, sa_type=sa.BigInteger)
    currency: str | None = None
    success: bool | None = None
    occurred_at: datetime | None = None
    received_at: datetime
    applied_at: datetime | None = None
    outcome: str
    reason: str | None = None
    payment_id: str | None = None
    invoice_id: str | None = None
    raw: bytes  # sealed, exactly the bytes that were signed; empty: no longer kept
    headers: bytes | None = None  # sealed JSON, of a webhook: what it was proven by
    raw_hash: bytes  # SHA-256 of those bytes: the audit chain outlives their erasure


class RefusedWebhook(SQLModel, table=True):
    """One of the last requests that could not be proven: a log for whoever mends it.

    Bounded, without its body, and read by nothing but `betalbar webhooks doctor`: what a stranger
    sends changes nothing (I2)."""

    __tablename__ = "refused_webhook"
    __table_args__ = (sa.Index("ix_refused_webhook_newest", "msn", "id"),)

    id: str = Field(primary_key=True)
    msn: str
    at: datetime
    reason: str
    diagnosis: list[str] = Field(sa_type=Json)
