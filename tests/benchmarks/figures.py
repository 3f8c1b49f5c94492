"""What a benchmark found: one figure is one row of the table and one object of the JSON.

A module that measures has a function `run(rounds: int) -> list[Figure]`; all that it compares is
measured in the same run, in turns, and given as the median of the rounds.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Goal:
    """What a figure should reach; it is printed, and nothing fails on it."""

    text: str  # "≥ 0.5 of the limit"
    is_reached: bool | None  # None: it can't be judged on this machine


@dataclass(frozen=True, slots=True)
class Rows:
    """What was counted in the end, against what was acknowledged.

    `least` was acknowledged; what was sent but cut off by the end of a round may be there too."""

    what: str  # "transitions"
    found: int
    least: int
    most: int

    @property
    def add_up(self) -> bool:
        """Tell whether all that was acknowledged is there, and nothing that was never sent."""
        return self.least <= self.found <= self.most


@dataclass(frozen=True, slots=True)
class Figure:
    """One thing measured, with its peers and limits of the same run, all in the same unit."""

    name: str  # "receive, SQLite"
    unit: str  # "events/s"; what is named ms or bytes is the better for being less
    ours: float  # the median of the rounds
    rounds: Sequence[float] = ()
    peers: Mapping[str, float] = field(default_factory=dict)
    limits: Mapping[str, float] = field(default_factory=dict)
    p50_ms: float | None = None
    p99_ms: float | None = None
    cpu_us: float | None = None  # per event, all processes of ours, without the database's
    database_cpu_us: float | None = None  # per event, of a database that has processes
    others_cpu_us: Mapping[str, float] = field(default_factory=dict)  # with their database's
    rows: Sequence[Rows] = ()
    goals: Sequence[Goal] = ()
    remarks: Sequence[str] = ()  # what was left out, and why; what a reader must know

    @property
    def has_failed(self) -> bool:
        """Tell whether rows do not add up: then its rate means nothing."""
        return not all(rows.add_up for rows in self.rows)

    def ratio_to(self, other: float) -> float:
        """Return how many times the other figure ours is."""
        return self.ours / other if other else float("inf")

    def as_json(self) -> dict[str, Any]:
        """Return it with what follows from it, for a file."""
        others = {**self.peers, **self.limits}
        ratios = {name: round(self.ratio_to(value), 3) for name, value in others.items()}
        return {**asdict(self), "ratios": ratios, "has_failed": self.has_failed}


def at_least(times: float, ours: float, other: float | None, name: str) -> Goal:
    """Return the goal of being so many times another figure; None: that one was not measured."""
    is_reached = None if other is None else ours >= times * other
    return Goal(f"≥ {times:g} x {name}", is_reached)


def below(limit: float, value: float | None, what: str, unit: str = "ms") -> Goal:
    """Return the goal of staying below a fixed value."""
    return Goal(f"{what} < {limit:g} {unit}", None if value is None else value < limit)


def median(values: Sequence[float]) -> float | None:
    """Return the median, or None of nothing."""
    return statistics.median(values) if values else None
