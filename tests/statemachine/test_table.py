"""The table itself: what transitions would not notice, and the contract's words."""

from itertools import product

from statemachine import RULES, TERMINAL_STATES, State, Trigger
from tests.statemachine.contract import CONTRACT, PAYABLE


def test_table_is_the_contracts_table() -> None:
    """The published table and the one that runs are the same."""
    ours: dict[tuple[str, str | None], set[str]] = {}
    for rule in RULES:
        for start in rule.from_:
            ours.setdefault((rule.trigger, start), set()).add(rule.to)

    assert ours == CONTRACT


def test_table_names_only_known_states_and_triggers() -> None:
    """transitions accepts unknown names when the machine is built, so we look ourselves."""
    for rule in RULES:
        assert isinstance(rule.trigger, Trigger)
        assert isinstance(rule.to, State)
        assert rule.from_
        assert all(start is None or isinstance(start, State) for start in rule.from_)


def test_table_has_no_line_twice() -> None:
    """Of two equal lines the first would silently win, so there are none."""
    edges = [(rule.trigger, start, rule.to) for rule in RULES for start in rule.from_]

    assert len(edges) == len(set(edges))


def test_table_alternatives_are_all_guarded() -> None:
    """A line without a guard would hide every alternative below it."""
    for trigger, start in product(Trigger, [None, *State]):
        lines = [rule for rule in RULES if rule.trigger is trigger and start in rule.from_]

        assert len(lines) <= 1 or all(rule.guard for rule in lines)


def test_table_leaves_no_trigger_and_no_state_unused() -> None:
    """Every trigger has a line and every state can be reached from the start."""
    reached: set[State | None] = {None}
    for _ in State:
        reached |= {rule.to for rule in RULES if reached.intersection(rule.from_)}

    assert reached == {None, *State}
    assert {rule.trigger for rule in RULES} == set(Trigger)


def test_terminal_states_are_those_of_the_contract() -> None:
    """Given back, released or withdrawn: nothing follows."""
    assert {"refunded", "cancelled", "terminated"} == TERMINAL_STATES


def test_states_say_what_they_mean_and_whether_they_can_be_paid() -> None:
    """A customer can pay until the invoice is approved, ended or withdrawn."""
    assert [state.value for state in State if state.is_payable] == list(PAYABLE)
    assert all(state.meaning for state in State)
    assert State("soft_dismissed") is State.SOFT_DISMISSED
    assert f"{State.SOFT_DISMISSED}" == "soft_dismissed"


def test_create_leads_only_from_nothing() -> None:
    """An invoice is created once, and nothing else can happen before."""
    assert [rule.trigger for rule in RULES if None in rule.from_] == [Trigger.CREATE]
