"""The two kinds of "no" of the state machine.

MachineError
├── TransitionRefused    the table has no such line from this state
└── GuardFailed          the table has the line, but its guard does not hold
"""

from statemachine.guards import Reason
from statemachine.table import State, Trigger


class MachineError(Exception):
    """The trigger was refused and nothing has changed; never raised itself.

    `possible` are the triggers that the table allows from `state` (None: before the first one).
    """

    def __init__(
        self, state: State | None, trigger: Trigger, possible: tuple[Trigger, ...], *rest: object
    ) -> None:
        """Keep what was asked, from where, and what would be possible."""
        # All arguments reach Exception.args, so that the error survives pickling.
        super().__init__(state, trigger, possible, *rest)
        self.state = state
        self.trigger = trigger
        self.possible = possible


class TransitionRefused(MachineError):
    """The table does not allow this trigger from this state."""

    def __str__(self) -> str:
        """Say what was refused, from where, and what is possible instead."""
        return (
            f"{self.trigger} is not possible from {self.state or 'nothing'}; "
            f"possible: {', '.join(self.possible) or 'nothing'}"
        )


class GuardFailed(MachineError):
    """The table allows this trigger from this state, but not with these facts."""

    def __init__(
        self,
        state: State | None,
        trigger: Trigger,
        possible: tuple[Trigger, ...],
        reason: Reason,
    ) -> None:
        """Keep the reason of the last alternative that was tried."""
        super().__init__(state, trigger, possible, reason)
        self.reason = reason

    @property
    def code(self) -> str:
        """Return the reason's stable snake_case code, e.g. `amount_exceeds_authorized`."""
        return self.reason.code

    def __str__(self) -> str:
        """Say what was refused and why, as a sentence."""
        return f"{self.trigger} from {self.state or 'nothing'} refused: {self.reason.sentence}"
