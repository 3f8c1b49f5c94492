"""The mapping that answers is the machine that transitions runs, edge by edge."""

from itertools import product

import transitions
from hypothesis import given
from hypothesis import strategies as st

from statemachine import (
    RULES,
    Amounts,
    Facts,
    GuardFailed,
    State,
    TransitionRefused,
    Trigger,
    decide,
    possible_triggers,
)
from statemachine import machine as module

SUMS = st.integers(0, 3)
AMOUNTS = st.builds(Amounts, SUMS, SUMS, SUMS, SUMS)
CELLS = list(product([None, *State], Trigger))
FACTS = st.builds(
    Facts,
    amount_minor=SUMS,
    before=AMOUNTS,
    after=AMOUNTS,
    payment_is_new=st.booleans(),
    payment_may_live=st.booleans(),
    reopened_by_merchant=st.booleans(),
    reopened_by_customer_in_time=st.booleans(),
)


def pulled(state: State | None, trigger: Trigger, facts: Facts) -> State | str:
    """Return where the library's own machine goes, or which way it says no."""
    cursor = module.Cursor(state, facts)
    try:
        has_moved = module._MACHINE.events[trigger].trigger(cursor, cursor)
    except transitions.MachineError:
        return "refused"
    return State(cursor.state) if has_moved else "guarded"


def decided(state: State | None, trigger: Trigger, facts: Facts) -> State | str:
    """Return the same of `decide`."""
    try:
        return decide(state, trigger, facts).to
    except TransitionRefused:
        return "refused"
    except GuardFailed:
        return "guarded"


@given(facts=FACTS)
def test_decide_any_facts_goes_where_the_machine_goes(facts: Facts) -> None:
    """What is decided fast is what the table, run by the library, would decide: in every cell."""
    for state, trigger in CELLS:
        assert decided(state, trigger, facts) == pulled(state, trigger, facts), (state, trigger)


@given(facts=FACTS)
def test_possible_with_facts_is_what_would_be_decided(facts: Facts) -> None:
    """What is offered can be done, and what can be done is offered."""
    for state in [None, *State]:
        can_be_done = [each for each in Trigger if isinstance(decided(state, each, facts), State)]

        assert sorted(possible_triggers(state, facts)) == sorted(can_be_done)


def test_machine_built_anew_has_the_tables_edges_and_no_others() -> None:
    """The library builds the table, and nothing of its own: no state, trigger, guard or model."""
    expected: dict[tuple[State | None, str], list[module._Edge]] = {}
    for rule in RULES:
        for start in rule.from_:
            expected.setdefault((start, rule.trigger), []).append((rule.guard, rule.to))

    built = module._build()

    assert module._compile(built) == {cell: tuple(edges) for cell, edges in expected.items()}
    assert list(built.states) == [module._NOWHERE, *(state.name for state in State)]
    assert built.models == []


def test_compiled_edges_are_all_of_the_machine() -> None:
    """Nothing is left out, and alternatives keep their sequence."""
    ways = [
        way
        for event in module._build().events.values()
        for alternatives in event.transitions.values()
        for way in alternatives
    ]

    compiled = [edge for edges in module._EDGES.values() for edge in edges]
    assert [(way.dest, bool(way.conditions)) for way in ways] == [
        (to.name, guard is not None) for guard, to in compiled
    ]
