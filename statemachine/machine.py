"""The one place where an invoice's next state is decided. Pure: values in, a value or an error out.

The only module that imports `transitions`. One machine is built from the table when this module is
loaded; no model is bound to it, because binding keeps a reference for ever and adds methods to the
model (tests: test_traps.py). What it may do from each state is then read out of it into a mapping,
which answers fifty times faster than pulling its triggers; that both always agree is a test
(test_compiled.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, cast

import transitions

from statemachine.amounts import Amounts
from statemachine.errors import GuardFailed, MachineError, TransitionRefused
from statemachine.guards import Facts, Guard, Reason
from statemachine.table import RULES, Rule, State, Trigger, triggers_from

__all__ = ["NOTHING_KNOWN", "Decision", "Facts", "decide", "possible_triggers"]

NOTHING_KNOWN = Facts()
"""Facts that satisfy no guard; enough for the triggers that have none."""

# transitions cannot start from None. The brackets keep the name apart from every state's.
_NOWHERE = "(none)"


@dataclass(frozen=True, slots=True)
class Decision:
    """Say that `trigger` moves the invoice from `from_` to `to`, leaving `amounts`."""

    from_: State | None
    to: State
    trigger: Trigger
    amounts: Amounts


class Cursor:
    """Stand where an invoice stands, while the machine itself is asked."""

    __slots__ = ("facts", "state")

    def __init__(self, state: State | None, facts: Facts) -> None:
        """Start in `state`; a machine that moves the cursor changes it."""
        self.state = state or _NOWHERE
        self.facts = facts


def _holds(guard: Guard, cursor: Cursor) -> bool:
    return guard.objection(cursor.facts) is None


def _add(machine: transitions.Machine, rule: Rule) -> None:
    machine.add_transition(
        rule.trigger,
        [state or _NOWHERE for state in rule.from_],
        rule.to,
        conditions=[partial(_holds, rule.guard)] if rule.guard else [],
    )


def _build() -> transitions.Machine:
    # auto_transitions would add to_<state> triggers that jump past the table.
    machine = transitions.Machine(
        model=None, states=[_NOWHERE, *State], initial=None, auto_transitions=False
    )
    for rule in RULES:
        _add(machine, rule)
    return machine


_MACHINE = _build()

_Edge = tuple[Guard | None, State]


def _compile(machine: transitions.Machine) -> Mapping[tuple[State | None, str], tuple[_Edge, ...]]:
    """Return what the machine may do by (state, trigger), alternatives in its own order."""
    return MappingProxyType(
        {
            (_named(source), trigger): tuple((_guard_of(way), State[str(way.dest)]) for way in ways)
            for trigger, event in machine.events.items()
            for source, ways in event.transitions.items()
        }
    )


def _named(name: str) -> State | None:
    return None if name == _NOWHERE else State[name]


def _guard_of(way: transitions.Transition) -> Guard | None:
    asked: list[Any] = [condition.func for condition in way.conditions]
    return asked[0].args[0] if asked else None


_EDGES = _compile(_MACHINE)


def decide(state: State | None, trigger: Trigger, facts: Facts = NOTHING_KNOWN) -> Decision:
    """Return where the trigger moves an invoice that is in `state`, or raise.

    Changes nothing: who asked stores the decision. The decision's amounts are `facts.after`.
    Raises: TransitionRefused (not in the table), GuardFailed (with the reason).
    """
    edges = _EDGES.get((state, trigger))
    if edges is None:
        raise TransitionRefused(state, trigger, triggers_from(state))
    for guard, to in edges:
        objection = guard.objection(facts) if guard else None
        if objection is None:
            return Decision(state, to, trigger, facts.after)
    raise GuardFailed(state, trigger, triggers_from(state), cast(Reason, objection))


def possible_triggers(state: State | None, facts: Facts | None = None) -> tuple[Trigger, ...]:
    """Return what is possible from a state, in the table's order.

    Without facts: what the table allows. With facts: only what the guards let through as well.
    """
    allowed = triggers_from(state)
    if facts is None:
        return allowed
    return tuple(trigger for trigger in allowed if _is_possible(state, trigger, facts))


def _is_possible(state: State | None, trigger: Trigger, facts: Facts) -> bool:
    try:
        decide(state, trigger, facts)
    except MachineError:
        return False
    return True
