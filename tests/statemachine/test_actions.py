"""What a merchant is offered."""

import pytest

from statemachine import Amounts, State, available_actions

NOTHING = Amounts()
OPEN = ("push", "cancel", "paid-elsewhere")

OFFERED = [
    (State.CREATED, NOTHING, OPEN),
    (State.PUSHED, NOTHING, ("push", "soft-dismiss", "cancel", "paid-elsewhere")),
    (State.SOFT_DISMISSED, NOTHING, OPEN),
    (State.AUTHORIZED, Amounts(1000), ("capture", "cancel", "paid-elsewhere")),
    (State.CAPTURED, Amounts(1000, 999), ("capture", "cancel", "refund", "paid-elsewhere")),
    (State.CAPTURED, Amounts(1000, 1000), ("refund", "paid-elsewhere")),
    (State.CAPTURED, Amounts(1000, 400, 399, 600), ("refund", "paid-elsewhere")),
    (State.CAPTURED, Amounts(1000, 400, 400), ("capture", "cancel", "paid-elsewhere")),
    (State.CAPTURED, Amounts(1000, 400, 0, 600), ("refund", "paid-elsewhere")),
    (State.REFUNDED, Amounts(1000, 1000, 1000), ()),
    (State.CANCELLED, Amounts(1000, cancelled=1000), ()),
    (State.ABORTED, NOTHING, ("push", "paid-elsewhere")),
    (State.EXPIRED, NOTHING, ("push", "paid-elsewhere")),
    (State.TERMINATED, Amounts(cancelled=1000), ()),
    (State.FAILED, NOTHING, ("push", "paid-elsewhere")),
]


@pytest.mark.parametrize(("state", "amounts", "expected"), OFFERED)
def test_available_actions_in_each_state_are_those_that_can_do_something(
    state: State, amounts: Amounts, expected: tuple[str, ...]
) -> None:
    """Only what the table allows and the money leaves room for is offered."""
    assert available_actions(state, amounts) == expected


@pytest.mark.parametrize(("state", "amounts", "expected"), OFFERED)
def test_available_actions_once_paid_elsewhere_never_ask_again(
    state: State, amounts: Amounts, expected: tuple[str, ...]
) -> None:
    """An invoice paid another way is not pushed, and not marked a second time."""
    offered = available_actions(state, amounts, is_paid_elsewhere=True)

    assert offered == tuple(name for name in expected if name not in ("push", "paid-elsewhere"))


def test_available_actions_cover_every_state() -> None:
    """No state is without an answer."""
    assert {state for state, _, _ in OFFERED} == set(State)
