"""The state machine as a map: places by hand, arrows from the table.

States with something in common share a frame. A way that leads from every state of a frame to
the same place outside is drawn once, from the frame: it shows the rule, not its instances.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from statemachine import RULES, State, Trigger

WIDTH, HEIGHT = 1340, 492
NODE_WIDTH, NODE_HEIGHT = 168, 74

# The upper left corner of each state's box.
_PLACES = {
    State.CREATED: (28, 60),
    State.PUSHED: (302, 60),
    State.SOFT_DISMISSED: (302, 202),
    State.AUTHORIZED: (612, 60),
    State.CAPTURED: (884, 60),
    State.REFUNDED: (1156, 60),
    State.TERMINATED: (612, 202),
    State.CANCELLED: (884, 202),
    State.FAILED: (28, 392),
    State.ABORTED: (214, 392),
    State.EXPIRED: (400, 392),
}
_MARGIN = 20
_TITLE_HEIGHT = 18
# Two arrows in one lane move apart, and to the left: their labels stand at their right.
_FIRST_ASIDE, _SECOND_ASIDE = -52, -8


class Box(NamedTuple):
    """A rectangle: its upper left corner and its size."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """Return its right edge."""
        return self.x + self.width

    @property
    def bottom(self) -> float:
        """Return its lower edge."""
        return self.y + self.height


@dataclass(frozen=True, slots=True)
class Frame:
    """A box around states that have something in common."""

    title: str
    states: frozenset[State]
    box: Box


@dataclass(frozen=True, slots=True)
class Arrow:
    """A way from some states to another, as a straight line; the label stands beside it."""

    starts: frozenset[State]
    end: State
    label: str
    x1: float
    y1: float
    x2: float
    y2: float

    @property
    def is_upright(self) -> bool:
        """Tell whether it runs up or down, so that its label stands at its side."""
        return self.x1 == self.x2


def place(state: State) -> Box:
    """Return the box of a state."""
    return Box(*_PLACES[state], NODE_WIDTH, NODE_HEIGHT)


def frames() -> tuple[Frame, ...]:
    """Return the frames: where an invoice can be paid, and where it can be opened again."""
    payable = frozenset(state for state in State if state.is_payable)
    ended = frozenset(
        s for rule in RULES if rule.trigger is Trigger.REOPEN for s in rule.from_ if s
    )
    return (
        Frame("can be paid", payable, _around(payable)),
        Frame("can be reopened", ended, _around(ended)),
    )


def arrows() -> list[Arrow]:
    """Return every way in the table that leads from one box to another."""
    ways: dict[tuple[frozenset[State], State], list[str]] = {}
    for starts, end, trigger in _ways():
        ways.setdefault((starts, end), []).append(trigger.replace("_", " "))
    drawn: list[Arrow] = []
    for (starts, end), names in ways.items():
        _draw(drawn, Arrow(starts, end, ", ".join(names), *_line(_start(starts), place(end))))
    return drawn


def _around(states: frozenset[State]) -> Box:
    boxes = [place(state) for state in states]
    left, top = min(b.x for b in boxes) - _MARGIN, min(b.y for b in boxes) - _MARGIN
    right, bottom = max(b.right for b in boxes) + _MARGIN, max(b.bottom for b in boxes) + _MARGIN
    return Box(left, top - _TITLE_HEIGHT, right - left, bottom - top + _TITLE_HEIGHT)


def _ways() -> Iterator[tuple[frozenset[State], State, str]]:
    for rule in RULES:
        starts = frozenset(state for state in rule.from_ if state is not None)
        if any(starts == frame.states and rule.to not in starts for frame in frames()):
            yield starts, rule.to, rule.trigger
        else:
            # A way that stays in its box says nothing that the counts do not.
            yield from ((frozenset({s}), rule.to, rule.trigger) for s in starts if s != rule.to)


def _start(starts: frozenset[State]) -> Box:
    if len(starts) == 1:
        return place(next(iter(starts)))
    return next(frame.box for frame in frames() if frame.states == starts)


def _line(start: Box, end: Box) -> tuple[float, float, float, float]:
    """Return x1, y1, x2, y2 of the straight line between two boxes' nearest sides."""
    x = _shared(start.x, start.right, end.x, end.right)
    if x is not None:
        return (x, start.bottom, x, end.y) if start.y < end.y else (x, start.y, x, end.bottom)
    y = _shared(start.y, start.bottom, end.y, end.bottom)
    if y is not None:
        return start.right, y, end.x, y
    return start.right, start.y + start.height * 0.85, end.x, end.y + end.height / 2


def _shared(low: float, high: float, other_low: float, other_high: float) -> float | None:
    """Return the middle of what two spans have in common."""
    begin, end = max(low, other_low), min(high, other_high)
    return (begin + end) / 2 if begin < end else None


def _draw(drawn: list[Arrow], arrow: Arrow) -> None:
    """Add an arrow; one that would lie on another goes beside it."""
    for n, other in enumerate(drawn):
        if arrow.is_upright and other.is_upright and arrow.x1 == other.x1 and _meet(arrow, other):
            drawn[n] = _aside(other, _FIRST_ASIDE)
            arrow = _aside(arrow, _SECOND_ASIDE)
            break
    drawn.append(arrow)


def _meet(arrow: Arrow, other: Arrow) -> bool:
    spans: Sequence[tuple[float, float]] = [
        (min(a.y1, a.y2), max(a.y1, a.y2)) for a in (arrow, other)
    ]
    return _shared(*spans[0], *spans[1]) is not None


def _aside(arrow: Arrow, by: float) -> Arrow:
    return replace(arrow, x1=arrow.x1 + by, x2=arrow.x2 + by)
