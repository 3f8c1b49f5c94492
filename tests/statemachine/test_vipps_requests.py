"""What CREATED and AUTHORIZED mean: contract §4, the first two rows."""

import pytest

from statemachine import (
    EVENT_TABLE,
    Amounts,
    InvoiceView,
    Outcome,
    PaymentState,
    PaymentView,
    Reaction,
    State,
    Trigger,
    VippsEventName,
    judge,
)
from tests.statemachine.builders import (
    AMOUNT_MINOR,
    PAYABLE_UNTIL,
    a_payment,
    an_authorizing_payment,
    an_event,
    an_invoice,
)
from tests.statemachine.verdicts import (
    AUTHORIZED,
    CREATED,
    RESERVED,
    assert_moved,
    assert_nothing,
    assert_payment_only,
)

PAYABLE = [state for state in State if state.is_payable]
CLOSED = [state for state in State if not state.is_payable]
ENDS = (PaymentState.ABORTED, PaymentState.EXPIRED, PaymentState.TERMINATED)


def test_event_table_has_a_row_for_each_event_and_an_answer_for_each_case() -> None:
    """No event of Vipps can fall through."""
    assert set(EVENT_TABLE) == set(VippsEventName)
    for name, lines in EVENT_TABLE.items():
        catching = [line for line in lines if line.when.__name__ == "always"]
        assert catching == [lines[-1]], name


# CREATED


@pytest.mark.parametrize("state", PAYABLE)
@pytest.mark.parametrize("known_as", [PaymentState.REQUESTED, PaymentState.REFUSED])
def test_created_on_the_last_payment_pushes_once(state: State, known_as: PaymentState) -> None:
    """When Vipps has the request, the customer has been asked."""
    payment = a_payment(known_as, has_pushed=False)

    verdict = judge(an_event(CREATED), payment, an_invoice(state))

    assert_moved(verdict, Trigger.PUSH, State.PUSHED)
    assert verdict.payment_state is PaymentState.CREATED
    assert verdict.payment_amounts == Amounts()


@pytest.mark.parametrize(
    ("payment", "state", "reason"),
    [
        (a_payment(is_last=False, has_pushed=False), State.PUSHED, "earlier_payment"),
        (a_payment(has_pushed=True), State.SOFT_DISMISSED, "already_pushed"),
        *[(a_payment(has_pushed=False), state, "invoice_closed") for state in CLOSED],
        (
            a_payment(PaymentState.AUTHORIZED, RESERVED, has_pushed=False),
            State.CREATED,
            "already_authorized",
        ),
        (a_payment(PaymentState.ABORTED, has_pushed=False), State.CREATED, "already_ended"),
        (a_payment(PaymentState.EXPIRED, has_pushed=False), State.CREATED, "already_ended"),
        (a_payment(PaymentState.TERMINATED, has_pushed=False), State.CREATED, "already_ended"),
    ],
)
def test_created_that_says_nothing_new_is_stale(
    payment: PaymentView, state: State, reason: str
) -> None:
    """The customer is never said to have been asked by a payment that cannot be paid."""
    verdict = judge(an_event(CREATED), payment, an_invoice(state))

    assert_nothing(verdict, Outcome.STALE, reason, payment)


def test_created_overtaken_by_its_withdrawal_still_pushes() -> None:
    """A payment withdrawn to be replaced was a push, in whichever order we hear of it."""
    payment = a_payment(
        PaymentState.TERMINATED, Amounts(cancelled=1000), has_pushed=False, is_being_replaced=True
    )

    verdict = judge(an_event(CREATED), payment, an_invoice(State.CREATED))

    assert_moved(verdict, Trigger.PUSH, State.PUSHED)
    assert verdict.payment_state is PaymentState.TERMINATED


# AUTHORIZED


@pytest.mark.parametrize("state", PAYABLE)
@pytest.mark.parametrize("known_as", [PaymentState.REQUESTED, PaymentState.CREATED, *ENDS])
def test_authorized_on_a_payable_invoice_authorizes(state: State, known_as: PaymentState) -> None:
    """Approved is approved, whatever was reported of the payment before."""
    verdict = judge(an_event(AUTHORIZED), a_payment(known_as), an_invoice(state))

    assert_moved(verdict, Trigger.AUTHORIZE, State.AUTHORIZED)
    assert verdict.payment_state is PaymentState.AUTHORIZED
    assert verdict.payment_amounts == RESERVED
    assert verdict.reactions == set()


@pytest.mark.parametrize("state", PAYABLE)
def test_authorized_on_an_earlier_payment_withdraws_the_newer_one(state: State) -> None:
    """The customer paid the older request; the newer one must not be paid as well."""
    payment = a_payment(PaymentState.TERMINATED, Amounts(cancelled=1000), is_last=False)

    verdict = judge(an_event(AUTHORIZED), payment, an_invoice(state))

    assert_moved(verdict, Trigger.AUTHORIZE, State.AUTHORIZED)
    assert verdict.payment_amounts == RESERVED
    assert verdict.reactions == {Reaction.WITHDRAW_NEWER}


@pytest.mark.parametrize("state", CLOSED)
@pytest.mark.parametrize("is_last", [True, False])
def test_authorized_on_a_closed_invoice_is_released(state: State, is_last: bool) -> None:
    """Money reserved for an invoice that needs none goes back to the customer."""
    verdict = judge(an_event(AUTHORIZED), a_payment(is_last=is_last), an_invoice(state))

    assert_payment_only(verdict, PaymentState.AUTHORIZED)
    assert verdict.payment_amounts == RESERVED
    assert verdict.reactions == {Reaction.RELEASE}


@pytest.mark.parametrize("amount_minor", [0, AMOUNT_MINOR - 1, AMOUNT_MINOR + 1])
@pytest.mark.parametrize("state", [State.PUSHED, State.TERMINATED])
def test_authorized_for_another_amount_is_refused(amount_minor: int, state: State) -> None:
    """One øre more or less than asked for is a contradiction for people to look at."""
    payment = a_payment()

    verdict = judge(an_event(AUTHORIZED, amount_minor), payment, an_invoice(state))

    assert_nothing(verdict, Outcome.REFUSED, "amount_differs", payment)


def test_authorized_of_an_invoice_of_zero_is_refused() -> None:
    """The guards of the table are the last word, also where no line of §4 objects."""
    payment = a_payment()
    invoice = InvoiceView(
        state=State.PUSHED, amount_minor=0, currency="NOK", payable_until=PAYABLE_UNTIL
    )

    verdict = judge(an_event(AUTHORIZED, 0), payment, invoice)

    assert_nothing(verdict, Outcome.REFUSED, "amount_differs", payment)


@pytest.mark.parametrize(
    "payment",
    [an_authorizing_payment(RESERVED), a_payment(PaymentState.AUTHORIZED, RESERVED)],
)
@pytest.mark.parametrize("state", [State.AUTHORIZED, State.CAPTURED, State.CREATED])
def test_authorized_again_is_stale(payment: PaymentView, state: State) -> None:
    """One approval is one approval."""
    verdict = judge(an_event(AUTHORIZED), payment, an_invoice(state))

    assert_nothing(verdict, Outcome.STALE, "already_authorized", payment)
