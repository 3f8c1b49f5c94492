"""Ready values for the tests of the state machine; each test names only what it is about."""

from datetime import UTC, datetime, timedelta

from statemachine import (
    Amounts,
    Facts,
    InvoiceView,
    PaymentState,
    PaymentView,
    ReportedEvent,
    State,
    VippsEventName,
)

AMOUNT_MINOR = 1000
CURRENCY = "NOK"
OCCURRED_AT = datetime(2026, 11, 22, 10, tzinfo=UTC)
PAYABLE_UNTIL = datetime(2026, 12, 6, 23, tzinfo=UTC)
LAPSES_AT = PAYABLE_UNTIL - timedelta(days=7)

# Facts under which every guard of the table has an alternative that holds, by trigger.
WILLING = Facts(
    amount_minor=AMOUNT_MINOR,
    payment_is_new=True,
    payment_may_live=False,
    reopened_by_merchant=True,
)


def an_event(
    name: VippsEventName,
    amount_minor: int = AMOUNT_MINOR,
    *,
    currency: str = CURRENCY,
    success: bool = True,
) -> ReportedEvent:
    """Return an event as Vipps would report it of the invoice's whole amount."""
    return ReportedEvent(name, amount_minor, currency, success, OCCURRED_AT)


def a_payment(
    state: PaymentState = PaymentState.CREATED,
    amounts: Amounts | None = None,
    *,
    is_last: bool = True,
    has_pushed: bool = True,
    is_being_replaced: bool = False,
    ends_at: datetime = LAPSES_AT,
) -> PaymentView:
    """Return a payment that is not the one which authorized the invoice."""
    return PaymentView(
        state=state,
        amounts=amounts or Amounts(),
        is_last=is_last,
        has_pushed=has_pushed,
        is_being_replaced=is_being_replaced,
        ends_at=ends_at,
    )


def an_authorizing_payment(amounts: Amounts, *, is_last: bool = True) -> PaymentView:
    """Return the payment that authorized the invoice."""
    return PaymentView(
        state=PaymentState.AUTHORIZED,
        amounts=amounts,
        is_last=is_last,
        is_authorizing=True,
        has_pushed=True,
        ends_at=LAPSES_AT,
    )


def an_invoice(state: State = State.PUSHED, amounts: Amounts | None = None) -> InvoiceView:
    """Return an invoice of 10.00 NOK that is payable for two weeks."""
    return InvoiceView(
        state=state,
        amount_minor=AMOUNT_MINOR,
        currency=CURRENCY,
        amounts=amounts or Amounts(),
        payable_until=PAYABLE_UNTIL,
    )
