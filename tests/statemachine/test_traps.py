"""What transitions does by default that would hurt us, and that it does not happen here.

Each test first shows the trap on a machine of its own; if a new version of the library closes it,
the test says so.
"""

import gc
import logging
import weakref
from itertools import chain
from typing import Any

import pytest
import transitions
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

from statemachine import Amounts, Facts, GuardFailed, State, Trigger, decide, machine

LINES = [["approve", "waiting", "paid"]]
STATES = ["waiting", "paid"]


class Thing:
    """Stand for a row; equal to every other one, as rows with the same values are."""

    def __eq__(self, other: object) -> bool:
        """Be equal to every other thing."""
        return isinstance(other, Thing)

    __hash__ = None  # type: ignore[assignment]  # as for any class that only defines __eq__


def our_machine() -> Any:
    """Return the one machine that `decide` uses."""
    return machine._MACHINE


def test_trap_auto_transitions_jump_past_the_table() -> None:
    """By default every state can be entered from anywhere; ours has the table's triggers only."""
    model: Any = Thing()
    transitions.Machine(model, states=STATES, transitions=LINES, initial="waiting")
    model.to_paid()

    assert model.state == "paid"
    assert set(our_machine().events) == set(Trigger)


def test_trap_binding_a_model_adds_methods_to_it() -> None:
    """By default a row would get twenty foreign attributes; ours binds nothing."""
    model: Any = Thing()
    transitions.Machine(model, states=STATES, transitions=LINES, initial="waiting")

    assert len([name for name in vars(model) if not name.startswith("_")]) > 5
    assert our_machine().models == []


def test_trap_bound_models_are_never_forgotten() -> None:
    """A long-lived machine keeps every row bound to it; ours keeps none after a million."""
    shared = transitions.Machine(
        None, states=STATES, transitions=LINES, initial=None, auto_transitions=False
    )
    model = Thing()
    shared.add_model(model, initial="waiting")
    is_alive = weakref.ref(model)
    del model
    gc.collect()

    for _ in range(100):
        decide(None, Trigger.CREATE)

    assert is_alive() is not None
    assert our_machine().models == []


def test_trap_models_are_found_by_equality() -> None:
    """Of two equal rows only the first is bound, so the second one would never move."""
    shared = transitions.Machine(
        None, states=STATES, transitions=LINES, initial=None, auto_transitions=False
    )
    first, second = Thing(), Thing()
    shared.add_model([first, second], initial="waiting")

    assert hasattr(first, "approve")
    assert not hasattr(second, "approve")


def test_trap_a_row_of_sqlmodel_cannot_be_a_model() -> None:
    """The library cannot bind a database row, so rows stay out of it."""

    class Apart(SQLModel, registry=registry()):  # or every test would see its table
        pass

    class Inv(Apart, table=True):
        id: int | None = Field(default=None, primary_key=True)
        state: str = "waiting"

    with pytest.raises(ValueError, match="no field"):
        transitions.Machine(Inv(), states=STATES, transitions=LINES, initial="waiting")


def test_an_unbound_cursor_moves_and_keeps_only_its_own_fields() -> None:
    """The way we use the library: a throwaway cursor, nothing registered."""
    cursor = machine.Cursor(State.PUSHED, Facts())

    assert our_machine().events[Trigger.ABORT].trigger(cursor, cursor)
    assert cursor.state is State.ABORTED
    assert not hasattr(cursor, "__dict__")
    assert our_machine().models == []


def test_trap_a_failed_condition_is_no_error() -> None:
    """The library answers False and goes on; `decide` says no aloud."""
    model: Any = Thing()
    lines = [{"trigger": "approve", "source": "waiting", "dest": "paid", "conditions": _never}]
    transitions.Machine(model, states=STATES, transitions=lines, initial="waiting")

    assert model.approve() is False
    with pytest.raises(GuardFailed):
        decide(State.PUSHED, Trigger.EXPIRE, Facts(payment_may_live=True))


def test_trap_an_error_in_an_after_callback_comes_too_late() -> None:
    """The state has moved when such an error shows; our machine has no callbacks at all."""
    model: Any = Thing()
    lines = [{"trigger": "approve", "source": "waiting", "dest": "paid", "after": _boom}]
    transitions.Machine(model, states=STATES, transitions=lines, initial="waiting")
    with pytest.raises(ZeroDivisionError):
        model.approve()

    assert model.state == "paid"
    assert not _callbacks_of(our_machine())


def test_trap_unknown_names_and_twins_are_accepted_at_build() -> None:
    """Typing errors in a table go unnoticed; test_table.py looks for them in ours."""
    lines = [["approve", "wiating", "piad"], ["end", "paid", "waiting"], ["end", "paid", "paid"]]
    model: Any = Thing()

    transitions.Machine(model, states=STATES, transitions=lines, initial="paid")
    model.end()

    assert model.state == "waiting"


def test_trap_model_override_warns_for_each_unbound_name(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The other way to bind a model floods the log; ours logs nothing."""
    with caplog.at_level(logging.WARNING, logger="transitions"):
        transitions.Machine(
            Thing(), states=STATES, transitions=LINES, initial="waiting", model_override=True
        )
        warned = len(caplog.records)
        decide(State.PUSHED, Trigger.ABORT)

    assert warned > 3
    assert len(caplog.records) == warned


def test_cursor_of_an_alternative_reports_the_last_reason() -> None:
    """Of guarded alternatives the refusal names what the widest one lacked."""
    facts = Facts(before=Amounts(1000, 1000), after=Amounts(1000, 1000, 1001))

    with pytest.raises(GuardFailed) as refusal:
        decide(State.CAPTURED, Trigger.REFUND, facts)

    assert refusal.value.code == "amount_exceeds_captured"


def _never() -> bool:
    return False


def _boom() -> None:
    raise ZeroDivisionError


def _callbacks_of(built: Any) -> list[object]:
    """Return whatever would be called around a move."""
    by_start = chain.from_iterable(event.transitions.values() for event in built.events.values())
    lines = list(chain.from_iterable(by_start))
    states = built.states.values()
    around = (built.before_state_change, built.after_state_change, built.prepare_event)
    behind = (built.finalize_event, built.on_exception, built.on_final)
    return [
        *chain.from_iterable((*line.before, *line.after, *line.prepare) for line in lines),
        *chain.from_iterable((*state.on_enter, *state.on_exit) for state in states),
        *chain.from_iterable((*around, *behind)),
    ]
