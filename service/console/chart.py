"""Two weeks as bars: three a day, as high as the highest of all allows."""

from collections.abc import Sequence
from dataclasses import dataclass

from service.console.figures import Day

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
