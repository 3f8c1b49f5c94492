"""What CAPTURED, CANCELLED and REFUNDED mean: contract §4, the last row."""

import pytest

from statemachine import (
    Amounts,
    Outcome,
    PaymentState,
    PaymentView,
    State,
    Trigger,
    VippsEventName,
    judge,
)
from tests.statemachine.builders import (
    a_payment,
    an_authorizing_payment,
    an_event,
    an_invoice,
)
from tests.statemachine.verdicts import (
    CANCELLED,
    CAPTURED,
    REFUNDED,
    RESERVED,
    assert_moved,
    assert_nothing,
    assert_payment_only,
)

MONEY_MOVES = [
    # event, amount, sums before, where from, trigger, where to, sums after
    (CAPTURED, 1, RESERVED, State.AUTHORIZED, State.CAPTURED, Amounts(1000, 1)),
    (CAPTURED, 1000, RESERVED, State.AUTHORIZED, State.CAPTURED, Amounts(1000, 1000)),
    (CAPTURED, 600, Amounts(1000, 400), State.CAPTURED, State.CAPTURED, Amounts(1000, 1000)),
    (CANCELLED, 1000, RESERVED, State.AUTHORIZED, State.CANCELLED, Amounts(1000, 0, 0, 1000)),
    (
        CANCELLED,
        600,
        Amounts(1000, 400),
        State.CAPTURED,
        State.CAPTURED,
        Amounts(1000, 400, 0, 600),
    ),
    (
        CANCELLED,
        600,
        Amounts(1000, 400, 400),
        State.CAPTURED,
        State.REFUNDED,
        Amounts(1000, 400, 400, 600),
    ),
    (REFUNDED, 1, Amounts(1000, 1000), State.CAPTURED, State.CAPTURED, Amounts(1000, 1000, 1)),
    (
        REFUNDED,
        1000,
        Amounts(1000, 1000),
        State.CAPTURED,
        State.REFUNDED,
        Amounts(1000, 1000, 1000),
    ),
    (REFUNDED, 400, Amounts(1000, 400), State.CAPTURED, State.CAPTURED, Amounts(1000, 400, 400)),
]
TRIGGERS = {CAPTURED: Trigger.CAPTURE, CANCELLED: Trigger.CANCEL, REFUNDED: Trigger.REFUND}


@pytest.mark.parametrize("is_last", [True, False])
@pytest.mark.parametrize(("name", "amount", "before", "state", "to", "after"), MONEY_MOVES)
def test_money_of_the_authorizing_payment_moves_the_invoice(
    name: VippsEventName,
    amount: int,
    before: Amounts,
    state: State,
    to: State,
    after: Amounts,
    is_last: bool,
) -> None:
    """What is taken, released or given back of the approved money shows on the invoice."""
    payment = an_authorizing_payment(before, is_last=is_last)

    verdict = judge(an_event(name, amount), payment, an_invoice(state, before))

    assert_moved(verdict, TRIGGERS[name], to)
    assert verdict.payment_amounts == after
    assert verdict.payment_state is PaymentState.AUTHORIZED


@pytest.mark.parametrize(("name", "amount", "before", "_state", "_to", "after"), MONEY_MOVES)
def test_money_of_another_payment_changes_only_its_own_sums(
    name: VippsEventName, amount: int, before: Amounts, _state: State, _to: State, after: Amounts
) -> None:
    """Releasing a double payment says nothing about the invoice's own money."""
    payment = a_payment(PaymentState.AUTHORIZED, before)

    verdict = judge(an_event(name, amount), payment, an_invoice(State.CAPTURED, RESERVED))

    assert_payment_only(verdict, PaymentState.AUTHORIZED)
    assert verdict.payment_amounts == after


@pytest.mark.parametrize(
    ("name", "amount", "before", "outcome", "reason"),
    [
        (CAPTURED, 1001, RESERVED, Outcome.REFUSED, "amount_exceeds_authorized"),
        (CAPTURED, 1, Amounts(1000, 400, 0, 600), Outcome.REFUSED, "amount_exceeds_authorized"),
        (CANCELLED, 1001, RESERVED, Outcome.REFUSED, "amount_exceeds_authorized"),
        (CANCELLED, 601, Amounts(1000, 400), Outcome.REFUSED, "amount_exceeds_authorized"),
        (CANCELLED, 999, RESERVED, Outcome.EARLY, "not_the_whole_rest"),
        (CANCELLED, 599, Amounts(1000, 400), Outcome.EARLY, "not_the_whole_rest"),
        (REFUNDED, 1, RESERVED, Outcome.EARLY, "amount_exceeds_captured"),
        (REFUNDED, 401, Amounts(1000, 400), Outcome.EARLY, "amount_exceeds_captured"),
        (REFUNDED, 1000, Amounts(1000, 400), Outcome.EARLY, "amount_exceeds_captured"),
        (REFUNDED, 1001, Amounts(1000, 400), Outcome.REFUSED, "amount_exceeds_authorized"),
        (CAPTURED, 0, RESERVED, Outcome.STALE, "moves_no_money"),
        (CANCELLED, 0, Amounts(1000, 1000), Outcome.STALE, "moves_no_money"),
        (REFUNDED, 0, Amounts(1000, 1000), Outcome.STALE, "moves_no_money"),
    ],
)
@pytest.mark.parametrize("is_authorizing", [True, False])
def test_money_that_does_not_fit_is_early_or_a_contradiction(
    name: VippsEventName,
    amount: int,
    before: Amounts,
    outcome: Outcome,
    reason: str,
    is_authorizing: bool,
) -> None:
    """More than reserved can never be right; more than known so far may only be early."""
    whose = an_authorizing_payment if is_authorizing else _another_payment
    payment = whose(before)

    verdict = judge(an_event(name, amount), payment, an_invoice(State.CAPTURED, before))

    assert_nothing(verdict, outcome, reason, payment)


def _another_payment(amounts: Amounts) -> PaymentView:
    return a_payment(PaymentState.AUTHORIZED, amounts)


@pytest.mark.parametrize("name", TRIGGERS)
@pytest.mark.parametrize(
    "known_as", [state for state in PaymentState if state is not PaymentState.AUTHORIZED]
)
def test_money_before_the_approval_is_early(name: VippsEventName, known_as: PaymentState) -> None:
    """What presupposes an approval waits for it."""
    payment = a_payment(known_as)

    verdict = judge(an_event(name), payment, an_invoice())

    assert_nothing(verdict, Outcome.EARLY, "not_authorized_yet", payment)


def test_money_where_the_table_says_never_is_refused() -> None:
    """An invoice and its payment that disagree are a contradiction, not a crash."""
    payment = an_authorizing_payment(RESERVED)

    verdict = judge(an_event(CAPTURED), payment, an_invoice(State.CANCELLED, RESERVED))

    assert_nothing(verdict, Outcome.REFUSED, "not_in_the_table", payment)
