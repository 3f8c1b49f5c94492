"""Two weeks as pictures: how many, as bars, three a day; how long it took, on a scale of powers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from service.console.days import Day

WIDTH, HEIGHT = 700, 190
BASE = 165

_BAR_WIDTH = 10
_BETWEEN = 3
_KINDS = ("created", "authorized", "captured")


@dataclass(frozen=True, slots=True)
class Bar:
    """One count as a rectangle."""

    name: str
    count: int
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Label:
    """What stands under one day."""

    text: str
    x: float


def bars(days: Sequence[Day]) -> list[Bar]:
    """Return the bars of all days; a count of nothing has none."""
    counts = [(n, k, getattr(day, kind)) for n, day in enumerate(days) for k, kind in _kinds()]
    highest = max((count for _, _, count in counts), default=0)
    return [_bar(_left(n, len(days)), k, count, highest) for n, k, count in counts if count]


def labels(days: Sequence[Day]) -> list[Label]:
    """Return each day's name under its bars."""
    middle = 1.5 * _BAR_WIDTH + _BETWEEN
    return [Label(f"{d.day:%a %d}", _left(n, len(days)) + middle) for n, d in enumerate(days)]


def _kinds() -> Sequence[tuple[int, str]]:
    return list(enumerate(_KINDS))


def _left(n: int, of: int) -> float:
    slot = WIDTH / of
    return n * slot + (slot - 3 * _BAR_WIDTH - 2 * _BETWEEN) / 2


def _bar(left: float, k: int, count: int, highest: int) -> Bar:
    height = max(2.0, round((BASE - 8) * count / highest, 1))
    x = left + k * (_BAR_WIDTH + _BETWEEN)
    return Bar(_KINDS[k], count, x, BASE - height, _BAR_WIDTH, height)


# From ten seconds to two weeks: what is faster or slower stands at the edge.
_LEAST_S, _MOST_S = 10.0, 1_209_600.0
_MARKED = ((60, "1 min"), (3_600, "1 h"), (86_400, "1 day"), (604_800, "1 week"))


@dataclass(frozen=True, slots=True)
class Pace:
    """How long one day's customers took: half up to `y_usual`, nine in ten up to `y_most`."""

    x: float
    y_usual: float
    y_most: float
    day: Day


@dataclass(frozen=True, slots=True)
class Mark:
    """One line of the scale."""

    text: str
    y: float


def paces(days: Sequence[Day]) -> list[Pace]:
    """Return each day on which anybody approved; higher is slower."""
    middle = 1.5 * _BAR_WIDTH + _BETWEEN
    return [
        Pace(_left(n, len(days)) + middle, _height(day.usual_s), _height(day.most_s), day)
        for n, day in enumerate(days)
        if day.usual_s is not None and day.most_s is not None
    ]


def marks() -> list[Mark]:
    """Return the scale's lines."""
    return [Mark(text, _height(seconds)) for seconds, text in _MARKED]


def _height(seconds: float) -> float:
    share = math.log(max(min(seconds, _MOST_S), _LEAST_S) / _LEAST_S) / math.log(_MOST_S / _LEAST_S)
    return round(BASE - share * (BASE - 12), 1)
