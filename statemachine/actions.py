"""What a merchant can do with an invoice now, in the words of the API's paths.

Derived from the table: an action is offered when one of its triggers is in the table from this
state and there is money for it to act on. Guards about payments that may still live are not asked:
an action starts a command towards Vipps, and the trigger follows once Vipps has answered.
"""

from collections.abc import Callable
from dataclasses import dataclass

from statemachine.amounts import Amounts
from statemachine.table import State, Trigger, triggers_from


def _always(_: Amounts) -> bool:
    return True


def _something_reserved(amounts: Amounts) -> bool:
    return amounts.remaining_to_capture > 0


def _something_captured(amounts: Amounts) -> bool:
    return amounts.remaining_to_refund > 0


@dataclass(frozen=True, slots=True)
class _Offer:
    """Offer `action` where the table has `trigger` and the amounts leave something to do."""

    action: str
    trigger: Trigger
    is_worthwhile: Callable[[Amounts], bool] = _always


# In the order of the API. paid-elsewhere is also offered on aborted, expired and failed invoices
# (where `reopen` leads on): no payment is open there, but the customer could still reopen and pay
# on the page, or the merchant push again, and being told of the other payment closes that door.
_OFFERS = (
    _Offer("push", Trigger.PUSH),
    _Offer("push", Trigger.REOPEN),
    _Offer("soft-dismiss", Trigger.SOFT_DISMISS),
    _Offer("capture", Trigger.CAPTURE, _something_reserved),
    _Offer("cancel", Trigger.TERMINATE),
    _Offer("cancel", Trigger.CANCEL, _something_reserved),
    _Offer("refund", Trigger.REFUND, _something_captured),
    _Offer("paid-elsewhere", Trigger.TERMINATE),
    _Offer("paid-elsewhere", Trigger.REOPEN),
    _Offer("paid-elsewhere", Trigger.CANCEL, _something_reserved),
    _Offer("paid-elsewhere", Trigger.REFUND, _something_captured),
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
    allowed = triggers_from(state)
    offered = dict.fromkeys(
        offer.action
        for offer in _OFFERS
        if offer.trigger in allowed and offer.is_worthwhile(amounts)
    )
    withheld = _NOT_ONCE_PAID_ELSEWHERE if is_paid_elsewhere else frozenset()
    return tuple(action for action in offered if action not in withheld)
