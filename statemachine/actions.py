"""What a merchant can do with an invoice now, in the words of the API's paths.

Derived from the table: an action is offered when one of its triggers is in the table from this
state and there is money for it to act on. Guards about payments that may still live are not asked:
an action starts a command towards Vipps, and the trigger follows once Vipps has answered.
"""

from dataclasses import dataclass
from enum import Enum, auto
from functools import cache

from statemachine.amounts import Amounts
from statemachine.table import State, Trigger, triggers_from


class _Money(Enum):
    """What an action needs to be there."""

    NONE = auto()
    RESERVED = auto()
    CAPTURED = auto()


@dataclass(frozen=True, slots=True)
class _Offer:
    """Offer `action` where the table has `trigger` and there is money of this kind, if any."""

    action: str
    trigger: Trigger
    money: _Money = _Money.NONE


# In the order of the API. paid-elsewhere is also offered on aborted, expired and failed invoices
# (where `reopen` leads on): no payment is open there, but the customer could still reopen and pay
# on the page, or the merchant push again, and being told of the other payment closes that door.
_OFFERS = (
    _Offer("push", Trigger.PUSH),
    _Offer("push", Trigger.REOPEN),
    _Offer("soft-dismiss", Trigger.SOFT_DISMISS),
    _Offer("capture", Trigger.CAPTURE, _Money.RESERVED),
    _Offer("cancel", Trigger.TERMINATE),
    _Offer("cancel", Trigger.CANCEL, _Money.RESERVED),
    _Offer("refund", Trigger.REFUND, _Money.CAPTURED),
    _Offer("paid-elsewhere", Trigger.TERMINATE),
    _Offer("paid-elsewhere", Trigger.REOPEN),
    _Offer("paid-elsewhere", Trigger.CANCEL, _Money.RESERVED),
    _Offer("paid-elsewhere", Trigger.REFUND, _Money.CAPTURED),
)

# Asking for money that was paid another way, or saying so twice, helps nobody.
_NOT_ONCE_PAID_ELSEWHERE = frozenset({"push", "paid-elsewhere"})


def available_actions(
    state: State, amounts: Amounts, *, is_paid_elsewhere: bool = False
) -> tuple[str, ...]:
    """Return the actions possible now, as the last parts of the API's paths.

    Order: push, soft-dismiss, capture, cancel, refund, paid-elsewhere. `cancel` is `terminate`
    before authorization and `cancel` after it; `push` reopens where the invoice had ended.
    """
    there = {_Money.NONE}
    if amounts.remaining_to_capture > 0:
        there.add(_Money.RESERVED)
    if amounts.remaining_to_refund > 0:
        there.add(_Money.CAPTURED)
    return _actions(state, frozenset(there), is_paid_elsewhere)


@cache
def _actions(state: State, there: frozenset[_Money], is_paid_elsewhere: bool) -> tuple[str, ...]:
    allowed = triggers_from(state)
    offered = dict.fromkeys(
        offer.action for offer in _OFFERS if offer.trigger in allowed and offer.money in there
    )
    withheld = _NOT_ONCE_PAID_ELSEWHERE if is_paid_elsewhere else frozenset()
    return tuple(action for action in offered if action not in withheld)
