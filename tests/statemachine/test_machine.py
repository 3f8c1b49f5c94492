"""Every cell of state x trigger, every guard at its edge, and that a refusal changes nothing."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import product

import pytest

from statemachine import (
    Amounts,
    Decision,
    Facts,
    GuardFailed,
    State,
    TransitionRefused,
    Trigger,
    decide,
    possible_triggers,
)
from tests.statemachine.builders import WILLING
from tests.statemachine.contract import CONTRACT

# The money with which each cell's guard holds: (before, after, where it leads).
MONEY = {
    (None, "create"): (Amounts(), Amounts(), "created"),
    ("created", "authorize"): (Amounts(), Amounts(1000), "authorized"),
    ("pushed", "authorize"): (Amounts(), Amounts(1000), "authorized"),
    ("soft_dismissed", "authorize"): (Amounts(), Amounts(1000), "authorized"),
    ("authorized", "capture"): (Amounts(1000), Amounts(1000, 1), "captured"),
    ("captured", "capture"): (Amounts(1000, 1), Amounts(1000, 1000), "captured"),
    ("authorized", "cancel"): (Amounts(1000), Amounts(1000, cancelled=1000), "cancelled"),
    ("captured", "cancel"): (Amounts(1000, 400), Amounts(1000, 400, 0, 600), "captured"),
    ("captured", "refund"): (Amounts(1000, 400), Amounts(1000, 400, 400), "captured"),
}
CELLS = list(product([None, *State], Trigger))


def facts_for(state: State | None, trigger: Trigger) -> Facts:
    """Return facts under which the cell is allowed, if the table has it."""
    before, after, _ = MONEY.get((state, trigger), (Amounts(), Amounts(), ""))
    return replace(WILLING, before=before, after=after)


@pytest.mark.parametrize(("state", "trigger"), CELLS)
def test_decide_every_cell_follows_the_table(state: State | None, trigger: Trigger) -> None:
    """What the table has is decided; what it has not is refused with what is possible."""
    facts = facts_for(state, trigger)
    ends = CONTRACT.get((trigger, state))

    if ends is None:
        with pytest.raises(TransitionRefused) as refusal:
            decide(state, trigger, facts)
        assert refusal.value.state == state
        assert refusal.value.trigger is trigger
        assert set(refusal.value.possible) == {name for name, start in CONTRACT if start == state}
    else:
        decision = decide(state, trigger, facts)
        assert decision.to in ends
        assert decision == Decision(state, decision.to, trigger, facts.after)
        assert MONEY.get((state, trigger), (None, None, decision.to))[2] == decision.to


@pytest.mark.parametrize(("state", "trigger"), CELLS)
def test_decide_with_nothing_known_moves_only_what_has_no_guard(
    state: State | None, trigger: Trigger
) -> None:
    """Facts that were forgotten refuse; they never let money through."""
    unguarded = {"create", "soft_dismiss", "abort"}

    if (trigger, state) in CONTRACT and trigger not in unguarded:
        with pytest.raises(GuardFailed) as refusal:
            decide(state, trigger)
        told = refusal.value
        assert (told.state, told.trigger) == (state, trigger)
        assert told.possible == possible_triggers(state)
    elif (trigger, state) in CONTRACT:
        assert decide(state, trigger).amounts == Amounts()


EDGES = [
    # trigger, from, before, after, where to or the code of the refusal
    ("authorize", "pushed", Amounts(), Amounts(999), "amount_differs"),
    ("authorize", "pushed", Amounts(), Amounts(1000), "authorized"),
    ("authorize", "pushed", Amounts(), Amounts(1001), "amount_differs"),
    ("capture", "authorized", Amounts(1000), Amounts(1000), "nothing_to_capture"),
    ("capture", "authorized", Amounts(1000), Amounts(1000, -1), "nothing_to_capture"),
    ("capture", "authorized", Amounts(1000), Amounts(1000, 1), "captured"),
    ("capture", "authorized", Amounts(1000), Amounts(1000, 1000), "captured"),
    ("capture", "authorized", Amounts(1000), Amounts(1000, 1001), "amount_exceeds_authorized"),
    ("capture", "captured", Amounts(1000, 400), Amounts(1000, 1000), "captured"),
    (
        "capture",
        "captured",
        Amounts(1000, 400, 0, 600),
        Amounts(1000, 401, 0, 600),
        "amount_exceeds_authorized",
    ),
    ("cancel", "authorized", Amounts(1000), Amounts(1000), "nothing_to_cancel"),
    ("cancel", "authorized", Amounts(1000), Amounts(1000, cancelled=999), "not_the_whole_rest"),
    ("cancel", "authorized", Amounts(1000), Amounts(1000, cancelled=1000), "cancelled"),
    ("cancel", "authorized", Amounts(1000), Amounts(1000, cancelled=1001), "not_the_whole_rest"),
    ("cancel", "captured", Amounts(1000, 1000), Amounts(1000, 1000), "nothing_to_cancel"),
    (
        "cancel",
        "captured",
        Amounts(1000, 400),
        Amounts(1000, 400, 0, 599),
        "not_the_whole_rest",
    ),
    ("cancel", "captured", Amounts(1000, 400), Amounts(1000, 400, 0, 600), "captured"),
    (
        "cancel",
        "captured",
        Amounts(1000, 400),
        Amounts(1000, 400, 0, 601),
        "not_the_whole_rest",
    ),
    ("cancel", "captured", Amounts(1000, 400, 399), Amounts(1000, 400, 399, 600), "captured"),
    ("cancel", "captured", Amounts(1000, 400, 400), Amounts(1000, 400, 400, 600), "refunded"),
    ("refund", "captured", Amounts(1000, 1000), Amounts(1000, 1000), "nothing_to_refund"),
    ("refund", "captured", Amounts(1000, 1000), Amounts(1000, 1000, 1), "captured"),
    ("refund", "captured", Amounts(1000, 1000), Amounts(1000, 1000, 999), "captured"),
    ("refund", "captured", Amounts(1000, 1000), Amounts(1000, 1000, 1000), "refunded"),
    (
        "refund",
        "captured",
        Amounts(1000, 1000),
        Amounts(1000, 1000, 1001),
        "amount_exceeds_captured",
    ),
    ("refund", "captured", Amounts(1000, 400), Amounts(1000, 400, 400), "captured"),
    ("refund", "captured", Amounts(1000, 400), Amounts(1000, 400, 401), "amount_exceeds_captured"),
    ("refund", "captured", Amounts(1000, 400, 0, 600), Amounts(1000, 400, 400, 600), "refunded"),
]


@pytest.mark.parametrize(("trigger", "state", "before", "after", "expected"), EDGES)
def test_decide_amounts_at_the_edge_are_exact(
    trigger: str, state: str, before: Amounts, after: Amounts, expected: str
) -> None:
    """One øre too much or too little is refused; the exact amount is not."""
    facts = replace(WILLING, before=before, after=after)

    try:
        result: str = decide(State(state), Trigger(trigger), facts).to
    except GuardFailed as refusal:
        result = refusal.code

    assert result == expected


def test_authorize_of_nothing_for_nothing_is_refused() -> None:
    """An invoice of zero is never approved, also not by facts left at their defaults."""
    with pytest.raises(GuardFailed) as refusal:
        decide(State.PUSHED, Trigger.AUTHORIZE, Facts())

    assert refusal.value.code == "amount_differs"


@pytest.mark.parametrize(
    ("facts", "trigger", "state", "code"),
    [
        (Facts(payment_is_new=False), Trigger.PUSH, State.CREATED, "no_new_payment"),
        (Facts(payment_may_live=True), Trigger.EXPIRE, State.PUSHED, "payment_may_live"),
        (Facts(payment_may_live=True), Trigger.TERMINATE, State.PUSHED, "payment_may_live"),
        (Facts(payment_may_live=True), Trigger.FAIL, State.CREATED, "payment_may_live"),
        (Facts(), Trigger.REOPEN, State.EXPIRED, "not_allowed_to_reopen"),
    ],
)
def test_decide_guard_not_satisfied_says_why(
    facts: Facts, trigger: Trigger, state: State, code: str
) -> None:
    """A refusal names its reason as a code for programs and a sentence for people."""
    with pytest.raises(GuardFailed) as refusal:
        decide(state, trigger, facts)

    assert refusal.value.code == code
    assert refusal.value.reason.sentence in str(refusal.value)


@pytest.mark.parametrize("state", [State.ABORTED, State.EXPIRED, State.FAILED])
@pytest.mark.parametrize(
    "facts", [Facts(reopened_by_merchant=True), Facts(reopened_by_customer_in_time=True)]
)
def test_reopen_by_the_merchant_or_by_the_customer_in_time(state: State, facts: Facts) -> None:
    """An invoice that ended unpaid can be opened again by either of the two."""
    assert decide(state, Trigger.REOPEN, facts).to is State.CREATED


def test_decide_refused_changes_nothing() -> None:
    """After a refusal the same question has the same answer, and what is allowed still is."""
    facts = replace(WILLING, before=Amounts(1000), after=Amounts(1000, 1001))
    fitting = replace(facts, after=Amounts(1000, 1000))
    unchanged = replace(facts)

    for _ in range(2):
        with pytest.raises(GuardFailed):
            decide(State.AUTHORIZED, Trigger.CAPTURE, facts)
        with pytest.raises(TransitionRefused):
            decide(State.AUTHORIZED, Trigger.REFUND, facts)

    assert facts == unchanged
    assert decide(State.AUTHORIZED, Trigger.CAPTURE, fitting).to is State.CAPTURED


def test_possible_triggers_without_facts_are_the_tables() -> None:
    """What could be possible is listed in the table's order."""
    assert possible_triggers(None) == (Trigger.CREATE,)
    assert possible_triggers(State.CAPTURED) == (Trigger.CAPTURE, Trigger.CANCEL, Trigger.REFUND)
    assert possible_triggers(State.REFUNDED) == ()


def test_possible_triggers_with_facts_ask_the_guards() -> None:
    """While a payment may live, a pushed invoice can neither expire nor be withdrawn."""
    facts = Facts(payment_may_live=True)

    assert possible_triggers(State.PUSHED, facts) == (Trigger.SOFT_DISMISS, Trigger.ABORT)


def test_decide_from_many_threads_gives_each_its_own_answer() -> None:
    """Two events at the same instant never see each other's invoice."""
    cells = [(state, trigger) for trigger, state in CONTRACT] * 200

    def answer(cell: tuple[str | None, str]) -> Decision:
        state = State(cell[0]) if cell[0] else None
        trigger = Trigger(cell[1])
        return decide(state, trigger, facts_for(state, trigger))

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(answer, cells))

    assert answers == [answer(cell) for cell in cells]
