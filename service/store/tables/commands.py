"""Commands to Vipps: rows written with the decision, executed afterwards."""

from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from service.kinds import CommandKind
from service.store.tables.columns import Json, one_of, only_where


class CommandStatus(StrEnum):
    """Where a command stands."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"  # Vipps said a final no
    DROPPED = "dropped"  # no longer wanted, and never made anything


# The outcome is not known yet.
OPEN_STATUSES = (CommandStatus.WAITING, CommandStatus.RUNNING)


class Command(SQLModel, table=True):
    """One call to Vipps that was decided; its key never changes."""

    __tablename__ = "command"
    __table_args__ = (
        # The number is the place in the payment's line: decided first, done first. Who is before
        # is found by it too. An index of those that wait would be taken for the claim itself.
        sa.UniqueConstraint("payment_id", "number"),
        # At Vipps, one key is one decision (I6).
        sa.UniqueConstraint("idempotency_key"),
        # Claiming what is due must cost the same beside millions of finished rows.
        sa.Index(
            "ix_command_due",
            "next_attempt_at",
            **only_where("status IN ('waiting', 'running')"),
        ),
        # One read of a payment waits at a time; asking again only hastens it.
        sa.Index(
            "uq_command_one_read",
            "payment_id",
            unique=True,
            **only_where("kind = 'read_payment' AND status = 'waiting'"),
        ),
        sa.Index("ix_command_invoice_id", "invoice_id"),
        one_of("kind", CommandKind, "kind_known"),
        one_of("status", CommandStatus, "status_known"),
    )

    id: str = Field(primary_key=True)
    msn: str
    invoice_id: str = Field(foreign_key="invoice.id")
    payment_id: str = Field(foreign_key="payment.id")
    number: int
    kind: str
    is_serial: bool = True  # waits for, and holds up, its payment's other commands
    idempotency_key: str
    body: bytes | None = None  # sealed JSON, with the customer's key where it names one
    amount_minor: int | None = Field(default=None, sa_type=sa.BigInteger)
    act_id: str | None = None  # who asked
    status: str = CommandStatus.WAITING
    attempts: int = 0
    next_attempt_at: datetime  # while running: when the lease ends
    lease: str | None = None  # fencing token of the worker that runs it
    answer: dict[str, Any] | None = Field(default=None, sa_type=Json)
    created_at: datetime
    settled_at: datetime | None = None
    cause: str | None = None  # the request and the trace that it comes from


class CommandAttempt(SQLModel, table=True):
    """One try of a command: what Vipps's rate limits count, and evidence."""

    __tablename__ = "command_attempt"
    __table_args__ = (sa.Index("ix_command_attempt_rate", "payment_id", "kind", "started_at"),)

    command_id: str = Field(primary_key=True, foreign_key="command.id")
    number: int = Field(primary_key=True)
    payment_id: str
    kind: str
    started_at: datetime
    latency_ms: int | None = None
    status: int | None = None  # HTTP status; None: no answer
    code: str | None = None
    trace_id: str | None = None
