"""The state machine of an invoice, as data. Everything else in this package reads it from here.

How to read it: one line per rule. A rule says that `trigger` moves an invoice from any of `from_`
to `to`, if `guard` holds. Rules with the same trigger and the same `from_` are alternatives and
are tried from top to bottom; the first whose guard holds decides, so the "otherwise" comes last.
What is not in the table is refused. A refused trigger changes nothing.

What the table cannot say: the amounts. An invoice that is `captured` may be captured in part; how
much is in `Amounts`, and the guards compare them. Nor does the table know a clock or Vipps: who
may pull a trigger, and when, is decided outside (for Vipps's events in `vipps_events.py`).

`refunded`, `cancelled` and `terminated` have no line that leads out of them, on purpose.

The diagram in the README is drawn from this table; after a change here, draw it anew.
"""

from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Self

from statemachine.guards import (
    Guard,
    a_new_payment_exists,
    amount_is_the_invoices,
    cancel_releases_all,
    cancel_releases_rest,
    cancel_settles,
    capture_fits_reservation,
    no_payment_may_live,
    refund_fits_captured,
    refund_settles,
    reopening_is_allowed,
)


class State(StrEnum):
    """Name what became of an invoice; the value is used in API, database and events."""

    meaning: str
    is_payable: bool

    # The defaults are only there for type checkers, which take State("created") for this call.
    def __new__(cls, value: str, meaning: str = "", is_payable: bool = False) -> Self:
        """Attach to each name what it means and whether the customer can pay in it."""
        state = str.__new__(cls, value)
        state._value_ = value
        state.meaning = meaning
        state.is_payable = is_payable
        return state

    CREATED = "created", "stored by us; no live payment at Vipps for certain", True
    PUSHED = (
        "pushed",
        "a live payment exists at Vipps and the customer has been asked"
        " (in the app, or by clicking the link)",
        True,
    )
    SOFT_DISMISSED = (
        "soft_dismissed",
        'the customer postponed it ("I\'ll pay later"),'
        " or a payment lapsed while the invoice is still payable",
        True,
    )
    AUTHORIZED = "authorized", "the customer approved; the money is reserved", False
    CAPTURED = (
        "captured",
        "some or all of the reserved money is taken; amounts tell how much",
        False,
    )
    REFUNDED = "refunded", "all captured money is given back and nothing is left reserved", False
    CANCELLED = "cancelled", "the reservation was released, nothing captured", False
    ABORTED = "aborted", "the customer said no", False
    EXPIRED = "expired", "not paid in time", False
    TERMINATED = (
        "terminated",
        "the merchant withdrew it before authorization (also when it was paid elsewhere)",
        False,
    )
    FAILED = (
        "failed",
        "no payment can be made at all (Vipps refused amount, currency or reference);"
        " the problem is stored and shown",
        False,
    )


class Trigger(StrEnum):
    """Name a request to move the machine."""

    CREATE = "create"
    PUSH = "push"
    SOFT_DISMISS = "soft_dismiss"
    AUTHORIZE = "authorize"
    ABORT = "abort"
    EXPIRE = "expire"
    TERMINATE = "terminate"
    FAIL = "fail"
    CAPTURE = "capture"
    CANCEL = "cancel"
    REFUND = "refund"
    REOPEN = "reopen"


@dataclass(frozen=True, slots=True)
class Rule:
    """Say that `trigger` leads from each of `from_` to `to`, if `guard` holds.

    None in `from_` is the place before the first state.
    """

    trigger: Trigger
    from_: tuple[State | None, ...]
    to: State
    guard: Guard | None = None


_NOT_YET = (None,)
_PAYABLE = (State.CREATED, State.PUSHED, State.SOFT_DISMISSED)
_RESERVED = (State.AUTHORIZED, State.CAPTURED)
_ENDED = (State.ABORTED, State.EXPIRED, State.FAILED)

# fmt: off
RULES: tuple[Rule, ...] = (
    Rule(Trigger.CREATE,       _NOT_YET,            State.CREATED),
    Rule(Trigger.PUSH,         _PAYABLE,            State.PUSHED,     a_new_payment_exists),
    Rule(Trigger.SOFT_DISMISS, (State.PUSHED,),     State.SOFT_DISMISSED),
    Rule(Trigger.AUTHORIZE,    _PAYABLE,            State.AUTHORIZED, amount_is_the_invoices),
    Rule(Trigger.ABORT,        _PAYABLE,            State.ABORTED),
    Rule(Trigger.EXPIRE,       _PAYABLE,            State.EXPIRED,    no_payment_may_live),
    Rule(Trigger.TERMINATE,    _PAYABLE,            State.TERMINATED, no_payment_may_live),
    Rule(Trigger.FAIL,         (State.CREATED,),    State.FAILED,     no_payment_may_live),
    Rule(Trigger.CAPTURE,      _RESERVED,           State.CAPTURED,   capture_fits_reservation),
    Rule(Trigger.CANCEL,       (State.AUTHORIZED,), State.CANCELLED,  cancel_releases_all),
    Rule(Trigger.CANCEL,       (State.CAPTURED,),   State.REFUNDED,   cancel_settles),
    Rule(Trigger.CANCEL,       (State.CAPTURED,),   State.CAPTURED,   cancel_releases_rest),
    Rule(Trigger.REFUND,       (State.CAPTURED,),   State.REFUNDED,   refund_settles),
    Rule(Trigger.REFUND,       (State.CAPTURED,),   State.CAPTURED,   refund_fits_captured),
    Rule(Trigger.REOPEN,       _ENDED,              State.CREATED,    reopening_is_allowed),
)
# fmt: on

TERMINAL_STATES = frozenset(State) - {state for rule in RULES for state in rule.from_}
"""The states that no rule leads out of."""


@cache
def triggers_from(state: State | None) -> tuple[Trigger, ...]:
    """Return the triggers that the table allows from a state, in the table's order."""
    return tuple(dict.fromkeys(rule.trigger for rule in RULES if state in rule.from_))
