"""What is asked of every event, whatever its name: contract §4, the outcomes."""

import pytest

from statemachine import (
    Outcome,
    PaymentState,
    State,
    Trigger,
    Twin,
    VippsEventName,
    judge,
)
from tests.statemachine.builders import (
    AMOUNT_MINOR,
    a_payment,
    an_authorizing_payment,
    an_event,
    an_invoice,
)
from tests.statemachine.verdicts import (
    AUTHORIZED,
    CAPTURED,
    EXPIRED,
    RESERVED,
    assert_moved,
    assert_nothing,
)


@pytest.mark.parametrize("name", VippsEventName)
def test_unsuccessful_event_changes_nothing(name: VippsEventName) -> None:
    """A failed attempt is kept and means nothing."""
    payment = a_payment()

    verdict = judge(an_event(name, success=False, currency="DKK"), payment, an_invoice())

    assert_nothing(verdict, Outcome.UNSUCCESSFUL, "not_successful", payment)


@pytest.mark.parametrize("name", VippsEventName)
def test_event_in_another_currency_is_refused(name: VippsEventName) -> None:
    """Kroner of another country are not the invoice's money."""
    payment = a_payment()

    verdict = judge(an_event(name, currency="DKK"), payment, an_invoice())

    assert_nothing(verdict, Outcome.REFUSED, "currency_differs", payment)


@pytest.mark.parametrize("name", VippsEventName)
def test_event_with_a_negative_amount_is_refused(name: VippsEventName) -> None:
    """No event takes back what another one gave."""
    payment = a_payment(has_pushed=False)

    verdict = judge(an_event(name, -1), payment, an_invoice())

    assert_nothing(verdict, Outcome.REFUSED, "amount_negative", payment)


# Twins: other stored events with the same key

PRECEDENTS = (
    Outcome.APPLIED,
    Outcome.EARLY,
    Outcome.STALE,
    Outcome.UNSUCCESSFUL,
    Outcome.REFUSED,
)


@pytest.mark.parametrize("outcome", Outcome)
@pytest.mark.parametrize("success", [True, False])
def test_twin_of_a_judged_event_is_a_duplicate(outcome: Outcome, success: bool) -> None:
    """The same thing said twice counts once, whatever became of the first."""
    payment = a_payment()
    twins = [Twin(outcome, AMOUNT_MINOR, success)]

    verdict = judge(an_event(AUTHORIZED, success=success), payment, an_invoice(), twins)

    if outcome in PRECEDENTS:
        assert_nothing(verdict, Outcome.DUPLICATE, "twin", payment)
    else:
        assert verdict.outcome is (Outcome.APPLIED if success else Outcome.UNSUCCESSFUL)


@pytest.mark.parametrize("outcome", Outcome)
@pytest.mark.parametrize(("amount", "success"), [(999, True), (AMOUNT_MINOR, False), (0, False)])
def test_same_key_saying_something_else_moves_nothing_once_applied(
    outcome: Outcome, amount: int, success: bool
) -> None:
    """Two stories under one key: the first that was applied stays, the other is looked at."""
    payment = a_payment()

    verdict = judge(an_event(AUTHORIZED), payment, an_invoice(), [Twin(outcome, amount, success)])

    if outcome is Outcome.APPLIED:
        assert_nothing(verdict, Outcome.REFUSED, "key_already_applied", payment)
    else:
        assert_moved(verdict, Trigger.AUTHORIZE, State.AUTHORIZED)


def test_same_key_saying_something_else_is_otherwise_judged_on_its_own() -> None:
    """A second story that would change nothing needs nobody's attention."""
    payment = a_payment(PaymentState.EXPIRED)

    verdict = judge(
        an_event(EXPIRED, 999), payment, an_invoice(), [Twin(Outcome.APPLIED, 1000, True)]
    )

    assert_nothing(verdict, Outcome.STALE, "already_ended", payment)


def test_early_event_becomes_applied_despite_its_copies() -> None:
    """A copy that came while the event was waiting is no reason to forget it."""
    event = an_event(CAPTURED, 400)
    waiting = judge(event, a_payment(), an_invoice())
    copy = judge(event, a_payment(), an_invoice(), [Twin(waiting.outcome, 400, True)])

    verdict = judge(
        event,
        an_authorizing_payment(RESERVED),
        an_invoice(State.AUTHORIZED, RESERVED),
        [Twin(copy.outcome, 400, True)],
    )

    assert (waiting.outcome, copy.outcome) == (Outcome.EARLY, Outcome.DUPLICATE)
    assert_moved(verdict, Trigger.CAPTURE, State.CAPTURED)
