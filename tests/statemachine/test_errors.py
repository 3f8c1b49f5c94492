"""What a refusal tells."""

import pickle

from statemachine import GuardFailed, MachineError, Reason, State, TransitionRefused, Trigger


def test_refusal_says_what_is_possible_instead() -> None:
    """A merchant who cannot do one thing reads what else can be done."""
    error = TransitionRefused(State.CAPTURED, Trigger.PUSH, (Trigger.CAPTURE, Trigger.REFUND))

    assert str(error) == "push is not possible from captured; possible: capture, refund"


def test_refusal_at_the_ends_names_them() -> None:
    """Before the first state and after the last one there is nothing."""
    before = TransitionRefused(None, Trigger.PUSH, (Trigger.CREATE,))
    behind = TransitionRefused(State.REFUNDED, Trigger.PUSH, ())

    assert str(before) == "push is not possible from nothing; possible: create"
    assert str(behind) == "push is not possible from refunded; possible: nothing"


def test_refusal_by_a_guard_says_why() -> None:
    """The reason of the guard is the sentence's second half, also before the first state."""
    error = GuardFailed(None, Trigger.PUSH, (Trigger.CREATE,), Reason("no_new_payment", "why"))

    assert str(error) == "push from nothing refused: why"
    assert error.args == (None, Trigger.PUSH, (Trigger.CREATE,), error.reason)


def test_refusal_keeps_all_of_its_arguments() -> None:
    """What is copied to another process is made anew of them."""
    error = TransitionRefused(State.CAPTURED, Trigger.PUSH, (Trigger.REFUND,))

    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 (our own bytes)

    assert (copy.state, copy.trigger, copy.possible) == error.args
    assert error.args == (State.CAPTURED, Trigger.PUSH, (Trigger.REFUND,))


def test_errors_share_one_base_that_is_never_raised() -> None:
    """Whoever only wants to know "no" catches one class."""
    assert set(MachineError.__subclasses__()) == {TransitionRefused, GuardFailed}


def test_errors_survive_pickling() -> None:
    """A refusal in another process arrives whole."""
    error = GuardFailed(State.PUSHED, Trigger.EXPIRE, (), Reason("payment_may_live", "it may"))

    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 (our own bytes)

    assert (copy.state, copy.trigger, copy.possible) == (State.PUSHED, Trigger.EXPIRE, ())
    assert (copy.code, str(copy)) == ("payment_may_live", "expire from pushed refused: it may")
