"""What merchants are told: the feed, subscriptions and deliveries."""

from datetime import datetime
from enum import StrEnum

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from service.store.tables.columns import Json, one_of, only_where
from webhooks.health import SubscriptionStatus


class Event(SQLModel, table=True):
    """One thing we tell; its bytes are the same on every channel and for ever."""

    __tablename__ = "event"
    __table_args__ = (
        # A position belongs to one event: a reader's cursor can't skip or repeat (I8).
        sa.UniqueConstraint("msn", "position"),
        # Every transition has exactly one event (I7).
        sa.Index(
            "uq_event_transition",
            "invoice_id",
            "sequence",
            unique=True,
            **only_where("is_transition"),
        ),
        # The few that tell of no transition, for whoever reads all that was told of an invoice.
        sa.Index("ix_event_noted", "invoice_id", **only_where("NOT is_transition")),
        # A digest of one hour must not read a year of events, nor a day's figures the events.
        sa.Index(
            "ix_event_digest",
            "msn",
            "recorded_at",
            postgresql_include=["type"],
            **only_where("is_transition"),
        ),
    )

    id: str = Field(primary_key=True)
    msn: str
    position: int = Field(sa_type=sa.BigInteger)
    type: str
    invoice_id: str | None = None
    sequence: int | None = None
    is_transition: bool = False
    recorded_at: datetime
    payload: bytes  # sealed: it holds the page's link
    subscription_id: str | None = None  # whom it tells of; that one is not told
    cause: str | None = None  # the request and the trace that it comes from


class Feed(SQLModel, table=True):
    """The last position of a sales unit's feed; its row lock orders the writers.

    Taken last in a transaction, so that positions become visible in their order: a
    sequence would let a slow writer commit 7 after a reader has passed 8."""

    __tablename__ = "feed"

    msn: str = Field(primary_key=True, foreign_key="sales_unit.msn")
    position: int = Field(default=0, sa_type=sa.BigInteger)


class Fanout(SQLModel, table=True):
    """How far a sales unit's feed has been turned into deliveries."""

    __tablename__ = "fanout"

    msn: str = Field(primary_key=True, foreign_key="sales_unit.msn")
    position: int = Field(default=0, sa_type=sa.BigInteger)


class BrokerPosition(SQLModel, table=True):
    """How far a sales unit's feed has been published to the broker, and who is at it.

    Moved only past what the broker has acknowledged."""

    __tablename__ = "broker_position"

    msn: str = Field(primary_key=True, foreign_key="sales_unit.msn")
    position: int = Field(default=0, sa_type=sa.BigInteger)
    lease: str | None = None  # fencing token of the one process that publishes
    lease_until: datetime | None = None
    failures: int = 0  # in a row
    next_attempt_at: datetime | None = None  # after a failure
    reason: str | None = None  # of the last failure; none: all is well
    failing_since: datetime | None = None


class LetGo(SQLModel, table=True):
    """What of a sales unit is no longer kept: so that nobody takes a gap for all there was."""

    __tablename__ = "let_go"

    msn: str = Field(primary_key=True, foreign_key="sales_unit.msn")
    position: int = Field(default=0, sa_type=sa.BigInteger)  # the feed begins behind it
    told_at: datetime | None = None  # the last instant of which an event has gone
    settled_at: datetime | None = None  # the last at which a delivery ended that has gone


class Subscription(SQLModel, table=True):
    """A merchant's URL with its secret."""

    __tablename__ = "subscription"
    __table_args__ = (
        one_of("status", SubscriptionStatus, "status_known"),
        # Who may be sent to now, without reading who may not: a thousand dead receivers are not in
        # the first index at all, and rest in the future of the second.
        sa.Index(
            "ix_subscription_sound",
            "ready_at",
            **only_where("status = 'healthy' AND failures = 0 AND ready_at IS NOT NULL"),
        ),
        sa.Index(
            "ix_subscription_troubled",
            "status",
            "ready_at",
            **only_where("(status != 'healthy' OR failures > 0) AND ready_at IS NOT NULL"),
        ),
    )

    id: str = Field(primary_key=True)
    msn: str = Field(foreign_key="sales_unit.msn", index=True)
    url: bytes  # sealed: merchants put tokens into it
    event_types: list[str] = Field(sa_type=Json)
    description: str | None = None
    secrets: bytes  # sealed JSON: [{"secret", "until"}], newest first
    is_in_order: bool = True
    status: str = SubscriptionStatus.UNVERIFIED
    reason: str | None = None
    from_position: int = Field(sa_type=sa.BigInteger)  # it gets what comes after
    created_at: datetime
    deleted_at: datetime | None = None
    verified_at: datetime | None = None  # its first 2xx; None again when the URL changes
    failures: int = 0  # in a row
    failing_since: datetime | None = None
    ready_at: datetime | None = None  # when to look for its next delivery; None: nothing to send
    rests_until: datetime | None = None  # nothing is tried before; None: it does not rest


class DeliveryStatus(StrEnum):
    """Where a delivery stands."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


class Delivery(SQLModel, table=True):
    """One event to one subscription."""

    __tablename__ = "delivery"
    __table_args__ = (
        # The fan-out may run twice after a crash; an event is still owed once.
        sa.UniqueConstraint("event_id", "subscription_id"),
        # Claiming what is due must cost the same beside millions of finished rows, and beside
        # what is owed to others.
        sa.Index(
            "ix_delivery_due",
            "subscription_id",
            "next_attempt_at",
            "position",
            **only_where("status = 'pending'"),
        ),
        # "Is an earlier one of this invoice still pending?" without reading the pile.
        sa.Index(
            "ix_delivery_line",
            "subscription_id",
            "line",
            "position",
            **only_where("status = 'pending'"),
        ),
        # Failed ones are few, and somebody should know how many.
        sa.Index("ix_delivery_failed", "msn", **only_where("status = 'failed'")),
        # A replay of what failed must not read years of what did not.
        sa.Index(
            "ix_delivery_failed_of",
            "subscription_id",
            "position",
            **only_where("status = 'failed'"),
        ),
        # The last of them, which would else be looked for among all that arrived.
        sa.Index(
            "ix_delivery_given_up", "subscription_id", "id", **only_where("status = 'failed'")
        ),
        sa.Index("ix_delivery_newest", "subscription_id", "id"),
        # What ended so long ago that it may go, without reading what did not.
        sa.Index("ix_delivery_settled", "settled_at", **only_where("settled_at IS NOT NULL")),
        one_of("status", DeliveryStatus, "status_known"),
    )

    id: str = Field(primary_key=True)
    msn: str
    subscription_id: str = Field(foreign_key="subscription.id")
    event_id: str
    line: str  # what is kept in order: the invoice's id, else the event's own
    position: int = Field(sa_type=sa.BigInteger)
    status: str = DeliveryStatus.PENDING
    is_in_line: bool = True  # False once it was asked for again: it waits for nothing
    attempts: int = 0
    attempts_before: int = 0  # made before the schedule began anew
    next_attempt_at: datetime  # while under way: when the lease ends
    lease: str | None = None  # fencing token of the worker that sends it
    created_at: datetime
    settled_at: datetime | None = None


class Attempt(SQLModel, table=True):
    """One HTTP try of a delivery."""

    __tablename__ = "attempt"
    # What is older than it must be kept is found without reading the rest.
    __table_args__ = (sa.Index("ix_attempt_at", "at"),)

    delivery_id: str = Field(primary_key=True, foreign_key="delivery.id")
    number: int = Field(primary_key=True)
    at: datetime
    status: int | None = None
    latency_ms: int
    answer: bytes | None = None  # sealed: the first 2 KiB, a stranger's bytes
    error: str | None = None
