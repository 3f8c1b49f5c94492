"""The one place where an invoice's next state is decided. Pure: values in, a value or an error out.

The only module that imports `transitions`. One machine is built from the table when this module is
loaded and shared by all threads: it is never written to afterwards. No model is bound to it,
because binding keeps a reference for ever and adds methods to the model (tests: test_traps.py).
What it moves is a cursor that lives for one call.
"""

from dataclasses import dataclass
from functools import partial

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


class _Cursor:
    """Stand where the invoice stands, for one call."""

    __slots__ = ("facts", "reason", "state")

    def __init__(self, state: State | None, facts: Facts) -> None:
        self.state = state or _NOWHERE
        self.facts = facts
        self.reason = Reason("unguarded", "no guard was asked")


def _holds(guard: Guard, cursor: _Cursor) -> bool:
    """Ask a guard and leave its objection, if any, on the cursor."""
    objection = guard.objection(cursor.facts)
    cursor.reason = objection or cursor.reason
    return objection is None


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


def decide(state: State | None, trigger: Trigger, facts: Facts = NOTHING_KNOWN) -> Decision:
    """Return where the trigger moves an invoice that is in `state`, or raise.

    Changes nothing: who asked stores the decision. The decision's amounts are `facts.after`.
    Raises: TransitionRefused (not in the table), GuardFailed (with the reason).
    """
    cursor = _Cursor(state, facts)
    try:
        has_moved = _MACHINE.events[trigger].trigger(cursor, cursor)
    except transitions.MachineError as error:
        raise TransitionRefused(state, trigger, triggers_from(state)) from error
    # A failed condition is no error to transitions, only a False (test_traps.py).
    if not has_moved:
        raise GuardFailed(state, trigger, triggers_from(state), cursor.reason)
    return Decision(state, State(cursor.state), trigger, facts.after)


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
