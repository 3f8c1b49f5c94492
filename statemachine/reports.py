"""The values that Vipps's events are judged by, and the words for what became of them."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from statemachine.amounts import NO_MONEY, Amounts
from statemachine.machine import Decision
from statemachine.table import State


class VippsEventName(StrEnum):
    """Name what Vipps reports of a payment, spelled as Vipps does."""

    CREATED = "CREATED"
    AUTHORIZED = "AUTHORIZED"
    ABORTED = "ABORTED"
    EXPIRED = "EXPIRED"
    TERMINATED = "TERMINATED"
    CAPTURED = "CAPTURED"
    CANCELLED = "CANCELLED"
    REFUNDED = "REFUNDED"


class Outcome(StrEnum):
    """Say how one received event ended; the last three are for the receiver, not for `judge`."""

    APPLIED = "applied"
    EARLY = "early"
    DUPLICATE = "duplicate"
    STALE = "stale"
    UNSUCCESSFUL = "unsuccessful"
    REFUSED = "refused"
    UNMATCHED = "unmatched"
    MALFORMED = "malformed"
    IGNORED = "ignored"


class PaymentState(StrEnum):
    """Name where one payment stands; all but `requested` and `refused` are Vipps's words.

    `requested`: we asked for it and do not know whether it exists. `refused`: Vipps would not
    make it.
    """

    REQUESTED = "requested"
    CREATED = "created"
    AUTHORIZED = "authorized"
    ABORTED = "aborted"
    EXPIRED = "expired"
    TERMINATED = "terminated"
    REFUSED = "refused"


class Reaction(StrEnum):
    """Name what must follow a verdict, outside the machine.

    `read`: read the event log at once. `needs_attention`: tell `invoice.needs_attention`.
    `release`: money is reserved on a closed invoice; release this payment and tell
    `invoice.double_payment_detected`. `withdraw_newer`: an earlier payment authorized the
    invoice; withdraw the newer one that may still live.
    """

    READ = "read"
    NEEDS_ATTENTION = "needs_attention"
    RELEASE = "release"
    WITHDRAW_NEWER = "withdraw_newer"


@dataclass(frozen=True, slots=True)
class ReportedEvent:
    """Hold what one verified event, or one entry of the event log, says."""

    name: VippsEventName
    amount_minor: int
    currency: str
    success: bool
    occurred_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentView:
    """Hold what is known of the payment that the event is about.

    `is_last` in the invoice's chain; `is_authorizing`: it is the one that authorized the invoice;
    `has_pushed`: a `push` was made for it; `ends_at`: its `expiresAt`, else creation + 10 minutes.
    """

    state: PaymentState
    ends_at: datetime
    amounts: Amounts = NO_MONEY
    is_last: bool = True
    is_authorizing: bool = False
    has_pushed: bool = False
    is_being_replaced: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceView:
    """Hold what is known of the invoice; `amounts` is its aggregate so far."""

    state: State
    amount_minor: int
    currency: str
    payable_until: datetime
    amounts: Amounts = NO_MONEY


@dataclass(frozen=True, slots=True)
class Twin:
    """Hold what became of another stored event with the same key."""

    outcome: Outcome
    amount_minor: int
    success: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """Say what an event means.

    `decision` is None where the invoice stays. `payment_state` and `payment_amounts` hold after
    the event, changed only by `applied`. `reason` is a short snake_case code.
    """

    outcome: Outcome
    decision: Decision | None
    payment_state: PaymentState
    payment_amounts: Amounts
    reactions: frozenset[Reaction]
    reason: str
