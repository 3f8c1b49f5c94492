"""What an invoice's page has to say: one of these scenes, chosen from the rows; pure."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

from service.ledger.at_the_page import REOPENABLE
from service.ledger.loaded import live_payment
from service.ledger.resource import amounts_of
from service.store.tables import InvoiceRecord, PaymentRecord
from statemachine import PaymentState, State


class Scene(StrEnum):
    """What the customer is told; each has its own words in `templates/standing.html`."""

    OPEN = "open"  # it can be paid here
    LATER = "later"  # the same, and it was put off before
    IN_APP = "in_app"  # a request waits in the app
    STARTED = "started"  # paying was begun here, and can be gone on with
    MOMENT = "moment"  # Vipps is being asked
    WITHDRAWING = "withdrawing"
    APPROVED = "approved"
    PAID = "paid"
    PAID_IN_PART = "paid_in_part"
    REFUNDED = "refunded"
    REFUNDED_IN_PART = "refunded_in_part"
    RELEASED = "released"
    DECLINED = "declined"
    LAPSED = "lapsed"
    WITHDRAWN = "withdrawn"
    IMPOSSIBLE = "impossible"
    PAID_ELSEWHERE = "paid_elsewhere"
    REPLACED = "replaced"


_ENDED = {
    State.AUTHORIZED: Scene.APPROVED,
    State.REFUNDED: Scene.REFUNDED,
    State.CANCELLED: Scene.RELEASED,
    State.ABORTED: Scene.DECLINED,
    State.EXPIRED: Scene.LAPSED,
    State.TERMINATED: Scene.WITHDRAWN,
    State.FAILED: Scene.IMPOSSIBLE,
}


def scene_of(invoice: InvoiceRecord, payments: Sequence[PaymentRecord], now: datetime) -> Scene:
    """Return the scene of an invoice at a business time."""
    state = State(invoice.state)
    if invoice.paid_elsewhere is not None:
        return Scene.PAID_ELSEWHERE
    if invoice.replaced_by is not None and (state.is_payable or state in REOPENABLE):
        return Scene.REPLACED
    if state is State.TERMINATED and invoice.replaced_by is not None:
        return Scene.REPLACED
    if state is State.CAPTURED:
        return _of_money(invoice)
    if not state.is_payable:
        return _ENDED[state]
    if invoice.closing is not None:
        return Scene.WITHDRAWING
    return _while_payable(invoice, live_payment(payments), now)


def may_pay(invoice: InvoiceRecord, now: datetime) -> bool:
    """Tell whether the customer may pay on the page: a payment can be made, or reopened for."""
    state = State(invoice.state)
    return (
        (state.is_payable or state in REOPENABLE)
        and invoice.paid_elsewhere is None
        and invoice.replaced_by is None
        and invoice.closing is None
        and invoice.payable_until > now
    )


def _while_payable(invoice: InvoiceRecord, live: PaymentRecord | None, now: datetime) -> Scene:
    if live is None:
        if invoice.payable_until <= now:
            return Scene.LAPSED  # the clock's `expire` is a moment away
        return Scene.LATER if invoice.state == State.SOFT_DISMISSED else Scene.OPEN
    if live.replacement_flow is not None or live.state == PaymentState.REQUESTED:
        return Scene.MOMENT
    if live.user_flow == "PUSH_MESSAGE":
        return Scene.IN_APP
    # Its webhook may be faster than the answer that says where to pay.
    return Scene.STARTED if live.redirect_url is not None else Scene.MOMENT


def _of_money(invoice: InvoiceRecord) -> Scene:
    amounts = amounts_of(invoice)
    if amounts.refunded:
        return Scene.REFUNDED_IN_PART
    return Scene.PAID if amounts.captured == amounts.authorized else Scene.PAID_IN_PART


# Where something is likely in the next moment; all else can wait (facts, section 7: polling).
_SOON = frozenset((Scene.IN_APP, Scene.STARTED, Scene.MOMENT, Scene.WITHDRAWING, Scene.APPROVED))
_SOON_MS, _LATER_MS = 2_000, 4_000


def look_again_ms(scene: Scene) -> int:
    """Return how long an open page waits before it asks for news again; at first, then longer."""
    return _SOON_MS if scene in _SOON else _LATER_MS
