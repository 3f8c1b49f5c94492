"""The mapping that answers is the machine that transitions runs, edge by edge."""

from itertools import product

import transitions
from hypothesis import given
from hypothesis import strategies as st

from statemachine import Amounts, Facts, GuardFailed, State, TransitionRefused, Trigger, decide
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


def test_compiled_edges_are_all_of_the_machine() -> None:
    """Nothing is left out, and alternatives keep their sequence."""
    ways = [
        way
        for event in module._MACHINE.events.values()
        for alternatives in event.transitions.values()
        for way in alternatives
    ]

    compiled = [edge for edges in module._EDGES.values() for edge in edges]
    assert [(way.dest, bool(way.conditions)) for way in ways] == [
        (to.name, guard is not None) for guard, to in compiled
    ]
