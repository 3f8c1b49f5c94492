"""What a verdict must look like, for the tests of contract §4's table."""

from statemachine import (
    Amounts,
    Outcome,
    PaymentState,
    PaymentView,
    Reaction,
    State,
    Trigger,
    Verdict,
    VippsEventName,
)
from tests.statemachine.builders import AMOUNT_MINOR

CREATED, AUTHORIZED, ABORTED, EXPIRED, TERMINATED, CAPTURED, CANCELLED, REFUNDED = VippsEventName
RESERVED = Amounts(AMOUNT_MINOR)
ALARM = {Reaction.READ, Reaction.NEEDS_ATTENTION}


def assert_moved(verdict: Verdict, trigger: Trigger, to: State) -> None:
    """Check that the invoice moves, and takes over the sums of the payment that moved it."""
    assert verdict.outcome is Outcome.APPLIED
    assert verdict.decision is not None
    assert (verdict.decision.trigger, verdict.decision.to) == (trigger, to)
    assert verdict.decision.amounts == verdict.payment_amounts


def assert_payment_only(verdict: Verdict, state: PaymentState) -> None:
    """Check that the event changed the payment and left the invoice."""
    assert verdict.outcome is Outcome.APPLIED
    assert verdict.decision is None
    assert verdict.payment_state is state


def assert_nothing(verdict: Verdict, outcome: Outcome, reason: str, payment: PaymentView) -> None:
    """Check that neither the payment nor the invoice changed, and what follows."""
    assert (verdict.outcome, verdict.reason) == (outcome, reason)
    assert verdict.decision is None
    assert verdict.payment_state is payment.state
    assert verdict.payment_amounts == payment.amounts
    follows = {Outcome.REFUSED: ALARM, Outcome.EARLY: {Reaction.READ}}
    assert verdict.reactions == follows.get(outcome, set())
