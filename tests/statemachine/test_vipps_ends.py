"""What ABORTED, EXPIRED and TERMINATED mean: contract §4, the middle rows."""

from datetime import datetime, timedelta

import pytest

from statemachine import (
    Amounts,
    Outcome,
    PaymentState,
    State,
    Trigger,
    VippsEventName,
    judge,
)
from tests.statemachine.builders import (
    AMOUNT_MINOR,
    LAPSES_AT,
    PAYABLE_UNTIL,
    a_payment,
    an_event,
    an_invoice,
)
from tests.statemachine.verdicts import (
    ABORTED,
    EXPIRED,
    TERMINATED,
    assert_moved,
    assert_nothing,
    assert_payment_only,
)

PAYABLE = [state for state in State if state.is_payable]
CLOSED = [state for state in State if not state.is_payable]
ENDS = {
    ABORTED: PaymentState.ABORTED,
    EXPIRED: PaymentState.EXPIRED,
    TERMINATED: PaymentState.TERMINATED,
}


@pytest.mark.parametrize("state", PAYABLE)
@pytest.mark.parametrize("known_as", [PaymentState.REQUESTED, PaymentState.CREATED])
@pytest.mark.parametrize("is_being_replaced", [False, True])
def test_aborted_on_the_last_payment_aborts(
    state: State, known_as: PaymentState, is_being_replaced: bool
) -> None:
    """The customer's no ends the invoice, also while its payment is being replaced."""
    payment = a_payment(known_as, is_being_replaced=is_being_replaced)

    verdict = judge(an_event(ABORTED), payment, an_invoice(state))

    assert_moved(verdict, Trigger.ABORT, State.ABORTED)
    assert verdict.payment_state is PaymentState.ABORTED
    assert verdict.payment_amounts == Amounts()


@pytest.mark.parametrize("state", PAYABLE)
@pytest.mark.parametrize("seconds", [-60, 0, 1])
def test_expired_at_the_invoices_end_expires_it(state: State, seconds: int) -> None:
    """When the last possible payment ran out, the invoice was not paid in time."""
    payment = a_payment(ends_at=PAYABLE_UNTIL + timedelta(seconds=seconds))

    verdict = judge(an_event(EXPIRED), payment, an_invoice(state))

    assert_moved(verdict, Trigger.EXPIRE, State.EXPIRED)
    assert verdict.payment_state is PaymentState.EXPIRED


@pytest.mark.parametrize("ends_at", [LAPSES_AT, PAYABLE_UNTIL - timedelta(seconds=61)])
def test_expired_before_the_invoices_end_only_postpones_it(ends_at: datetime) -> None:
    """A lapsed request leaves the invoice payable; the customer can be asked again."""
    payment = a_payment(ends_at=ends_at)

    verdict = judge(an_event(EXPIRED), payment, an_invoice(State.PUSHED))

    assert_moved(verdict, Trigger.SOFT_DISMISS, State.SOFT_DISMISSED)
    assert verdict.payment_state is PaymentState.EXPIRED


@pytest.mark.parametrize(
    ("state", "has_pushed"),
    [
        (State.CREATED, True),
        (State.SOFT_DISMISSED, True),
        (State.SOFT_DISMISSED, False),
    ],
)
def test_expired_where_nobody_waits_touches_the_payment_only(
    state: State, has_pushed: bool
) -> None:
    """An invoice that is already postponed, or was reopened, stays as it is."""
    verdict = judge(an_event(EXPIRED), a_payment(has_pushed=has_pushed), an_invoice(state))

    assert_payment_only(verdict, PaymentState.EXPIRED)


def test_expired_before_its_own_push_waits_for_it() -> None:
    """A lapse that overtakes its CREATED is kept, so that the end is the one of Vipps's log."""
    payment = a_payment(PaymentState.REQUESTED, has_pushed=False)

    verdict = judge(an_event(EXPIRED), payment, an_invoice(State.CREATED))

    assert_nothing(verdict, Outcome.EARLY, "not_pushed_yet", payment)


@pytest.mark.parametrize("state", PAYABLE)
@pytest.mark.parametrize("known_as", [PaymentState.REQUESTED, PaymentState.CREATED])
def test_terminated_on_the_last_payment_terminates(state: State, known_as: PaymentState) -> None:
    """A request that was withdrawn for good ends the invoice; its amount counts as cancelled."""
    verdict = judge(an_event(TERMINATED), a_payment(known_as), an_invoice(state))

    assert_moved(verdict, Trigger.TERMINATE, State.TERMINATED)
    assert verdict.payment_state is PaymentState.TERMINATED
    assert verdict.payment_amounts == Amounts(cancelled=AMOUNT_MINOR)


@pytest.mark.parametrize("state", PAYABLE)
def test_terminated_to_be_replaced_touches_the_payment_only(state: State) -> None:
    """Making room for the next request is no end of the invoice."""
    verdict = judge(an_event(TERMINATED), a_payment(is_being_replaced=True), an_invoice(state))

    assert_payment_only(verdict, PaymentState.TERMINATED)
    assert verdict.payment_amounts == Amounts(cancelled=AMOUNT_MINOR)


@pytest.mark.parametrize("name", ENDS)
@pytest.mark.parametrize("state", State)
def test_end_of_an_earlier_payment_touches_that_payment_only(
    name: VippsEventName, state: State
) -> None:
    """What becomes of an older request does not end the newer one."""
    verdict = judge(an_event(name), a_payment(is_last=False), an_invoice(state))

    assert_payment_only(verdict, ENDS[name])


@pytest.mark.parametrize("name", ENDS)
@pytest.mark.parametrize("state", CLOSED)
def test_end_on_a_closed_invoice_touches_the_payment_only(
    name: VippsEventName, state: State
) -> None:
    """An invoice that is approved or ended stays so."""
    verdict = judge(an_event(name), a_payment(), an_invoice(state))

    assert_payment_only(verdict, ENDS[name])


@pytest.mark.parametrize("name", ENDS)
@pytest.mark.parametrize("known_as", [*ENDS.values(), PaymentState.AUTHORIZED])
@pytest.mark.parametrize("state", [State.PUSHED, State.ABORTED])
def test_end_of_a_payment_that_has_ended_is_stale_or_a_contradiction(
    name: VippsEventName, known_as: PaymentState, state: State
) -> None:
    """A payment ends once. Another end, or an end of reserved money, is for people to look at."""
    payment = a_payment(known_as)

    verdict = judge(an_event(name), payment, an_invoice(state))

    if known_as is PaymentState.AUTHORIZED:
        assert_nothing(verdict, Outcome.REFUSED, "already_authorized", payment)
    elif known_as is ENDS[name]:
        assert_nothing(verdict, Outcome.STALE, "already_ended", payment)
    else:
        assert_nothing(verdict, Outcome.REFUSED, "ended_another_way", payment)
