"""Invoices, their payments, and the transitions that are their history."""

from datetime import date, datetime
from typing import Any

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from service.store.tables.columns import Json, one_of, only_where
from service.store.tables.record import Record
from statemachine import PaymentState, State, Trigger

SOURCES = (
    "webhook",
    "poll",
    "response",
    "customer",
    "inference",
    "clock",
    "api",
    "operator",
)

# The guardian has warned that the time to capture what is reserved runs out.
WARNED = "warned_percent > 0"

# Payments that a customer can still approve.
LIVE_PAYMENT_STATES = (PaymentState.REQUESTED, PaymentState.CREATED)


class InvoiceRecord(Record):
    """The columns of an invoice; `ledger` works on these values, without a session."""

    id: str = Field(primary_key=True)
    msn: str = Field(foreign_key="sales_unit.msn")
    reference: str
    amount_minor: int = Field(sa_type=sa.BigInteger)
    currency: str
    customer_id: str | None = Field(default=None, foreign_key="customer.id")
    description: str
    flow: str
    capture: str
    due_date: date | None = None
    payable_until: datetime
    # What the merchant sent and nothing changes: kid, orderLines, documentUrl,
    # returnUrl, metadata, replaces. One value, so that an event is built without joins.
    terms: dict[str, Any] = Field(sa_type=Json)
    creation_hash: (
        bytes  # keyed, of the validated request: the same reference again must be the same
    )
    page_lookup: bytes  # hash of the page's token, which is derived and never stored

    state: str
    sequence: int
    version: int  # the ETag: moves with every visible change
    head_hash: bytes  # the last transition's hash
    authorized_minor: int = Field(default=0, sa_type=sa.BigInteger)
    captured_minor: int = Field(default=0, sa_type=sa.BigInteger)
    refunded_minor: int = Field(default=0, sa_type=sa.BigInteger)
    cancelled_minor: int = Field(default=0, sa_type=sa.BigInteger)
    authorized_by: str | None = None  # the payment whose money this is
    capture_guaranteed_until: datetime | None = None
    automatic_capture_off: bool = False
    closing: str | None = None  # the act that withdraws it; a faster customer is released
    problem: dict[str, Any] | None = Field(default=None, sa_type=Json)
    paid_elsewhere: dict[str, Any] | None = Field(default=None, sa_type=Json)
    replaced_by: str | None = None  # the invoice that is sent once this one has ended
    authorized_at: datetime | None = None
    ask_on: date | None = None  # the customer's own choice: asked in the app then, and not before
    own_pushes: int = 0  # pushes that nobody asked for: the policy counts them
    # Whether who pays by link shares their number: the version of the wording that they agreed to
    # on the page, or `merchant` where the merchant's own page asks; None: not asked, or declined.
    sharing: str | None = None
    warned_percent: int = 0  # of the time in which the reservation can be captured
    attend_at: datetime | None = None  # business time at which something is due by itself
    created_at: datetime
    updated_at: datetime


class Invoice(InvoiceRecord, table=True):
    """Our document: who owes how much until when."""

    __tablename__ = "invoice"
    __table_args__ = (
        # The same reference again is the same invoice, also for two requests at once.
        sa.UniqueConstraint("msn", "reference"),
        # Two invoices behind one link would show one customer another's.
        sa.UniqueConstraint("page_lookup"),
        sa.Index("ix_invoice_newest", "msn", "id"),
        # With what is counted of each state: on PostgreSQL the table itself is not read for it.
        sa.Index(
            "ix_invoice_state",
            "msn",
            "state",
            "id",
            postgresql_include=["amount_minor", "captured_minor", "refunded_minor"],
        ),
        # The console's orders, a page at a time, at any depth.
        sa.Index("ix_invoice_amount", "msn", "amount_minor", "id"),
        sa.Index("ix_invoice_due", "msn", "due_date", "id", **only_where("due_date IS NOT NULL")),
        # A person's invoices, out of years of others': for their list, and for their erasure.
        sa.Index(
            "ix_invoice_customer", "customer_id", "id", **only_where("customer_id IS NOT NULL")
        ),
        # What the guardian has warned of, and what has a problem: few among all that ended well.
        sa.Index(
            "ix_invoice_at_risk",
            "msn",
            "currency",
            "warned_percent",
            "authorized_minor",
            "captured_minor",
            "cancelled_minor",
            **only_where(WARNED),
        ),
        sa.Index("ix_invoice_problem", "msn", "state", **only_where("problem IS NOT NULL")),
        # The last of them, which would else be looked for among all.
        sa.Index("ix_invoice_troubled", "msn", "id", **only_where("problem IS NOT NULL")),
        # What is due is found without reading the pile.
        sa.Index("ix_invoice_attend", "attend_at", **only_where("attend_at IS NOT NULL")),
        one_of("state", State, "state_in_the_table"),
        one_of("flow", ("PUSH_MESSAGE", "WEB_REDIRECT"), "flow_known"),
        one_of("capture", ("manual", "automatic"), "capture_known"),
        sa.CheckConstraint("amount_minor > 0", name="amount_positive"),
        sa.CheckConstraint("sequence >= 1", name="created_first"),
        # The last guard against taking or giving back more than there is (I9). A payment
        # withdrawn before authorization has `cancelled` without `authorized`.
        sa.CheckConstraint(
            "refunded_minor >= 0 AND refunded_minor <= captured_minor"
            " AND (captured_minor + cancelled_minor <= authorized_minor"
            " OR (authorized_minor = 0 AND captured_minor = 0))",
            name="money_adds_up",
        ),
    )


class PaymentRecord(Record):
    """The columns of a payment; `ledger` works on these values, without a session."""

    id: str = Field(primary_key=True)
    msn: str
    invoice_id: str = Field(foreign_key="invoice.id")
    attempt: int
    reference: str
    user_flow: str
    state: str
    has_pushed: bool = False
    replacement_flow: str | None = None  # being withdrawn, to be followed by one of this flow
    psp_reference: str | None = None
    expires_at: datetime | None = None
    ends_at: datetime  # expires_at, else creation + 10 min (Vipps's default)
    redirect_url: bytes | None = None  # sealed: it opens the payment
    authorized_minor: int = Field(default=0, sa_type=sa.BigInteger)
    captured_minor: int = Field(default=0, sa_type=sa.BigInteger)
    refunded_minor: int = Field(default=0, sa_type=sa.BigInteger)
    cancelled_minor: int = Field(default=0, sa_type=sa.BigInteger)
    drifting_reads: int = 0  # reads in a row in which Vipps's aggregate differed from ours
    command_count: int = 0  # the last command's number in this payment's line
    looked_at: datetime | None = None  # the last read that was decided because time passed
    ended_at: datetime | None = None
    # It took the place of a request in the app, which comes again should this one lapse.
    then_ask: bool = False
    returned_by: str | None = None  # the act: the customer is back from Vipps; a read says how
    unconfirmed_since: datetime | None = None  # changed by a webhook that no read has confirmed
    sharing: str | None = None  # as the invoice's, when it was made: this payment asks for a number
    shared_at: datetime | None = None  # the number was taken in, or is not waited for any more
    shared_by: str | None = None  # the customer who paid and shared
    created_at: datetime  # at Vipps; until then when it was decided
    updated_at: datetime


class Payment(PaymentRecord, table=True):
    """One Vipps ePayment object of an invoice's chain."""

    __tablename__ = "payment"
    __table_args__ = (
        # A Vipps event names its payment by this pair; two would be a cross-tenant hole.
        sa.UniqueConstraint("msn", "reference"),
        sa.UniqueConstraint("invoice_id", "attempt"),
        # Never two live payments for one invoice (I9), whoever asks at the same instant.
        sa.Index(
            "uq_payment_one_live",
            "invoice_id",
            unique=True,
            **only_where("state IN ('requested', 'created')"),
        ),
        one_of("state", PaymentState, "state_known"),
        one_of("user_flow", ("PUSH_MESSAGE", "WEB_REDIRECT"), "flow_known"),
        one_of("replacement_flow", ("PUSH_MESSAGE", "WEB_REDIRECT"), "next_flow_known"),
    )


class ReferenceClaim(SQLModel, table=True):
    """One namespace for references of invoices and payments within a sales unit."""

    __tablename__ = "reference_claim"

    msn: str = Field(primary_key=True)
    reference: str = Field(primary_key=True)
    invoice_id: str


class Transition(SQLModel, table=True):
    """The stored fact that an invoice moved; append-only but for `confirmed_at`."""

    __tablename__ = "transition"
    __table_args__ = (
        one_of("to_state", State, "to_in_the_table"),
        one_of("trigger", Trigger, "trigger_in_the_table"),
        one_of("source", SOURCES, "source_known"),
        sa.CheckConstraint("(sequence = 1) = (from_state IS NULL)", name="first_is_create"),
        # A read finds the transition that an event caused, to confirm it.
        sa.Index("ix_transition_evidence_id", "evidence_id"),
    )

    # The pair is the key: two writers that both saw sequence 7 can't both write 8.
    invoice_id: str = Field(primary_key=True, foreign_key="invoice.id")
    sequence: int = Field(primary_key=True)
    from_state: str | None = None
    to_state: str
    trigger: str
    source: str
    evidence_id: str
    evidence_hash: bytes | None = None  # of the raw body: the chain outlives its erasure
    occurred_at: datetime
    recorded_at: datetime
    confirmed_at: datetime | None = None
    amount_minor: int = Field(sa_type=sa.BigInteger)
    currency: str
    payment_reference: str | None = None
    actor: str | None = None
    reason: str | None = None
    previous_hash: bytes
    hash: bytes


class Act(SQLModel, table=True):
    """What a person or a merchant's system asked of an invoice: evidence for `api`."""

    __tablename__ = "act"

    id: str = Field(primary_key=True)
    msn: str
    invoice_id: str = Field(index=True)
    name: str
    actor: str
    reason: str | None = None
    amount_minor: int | None = Field(default=None, sa_type=sa.BigInteger)
    at: datetime
