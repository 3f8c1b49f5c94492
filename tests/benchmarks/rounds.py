"""Contenders and their rounds: measured in turns, so that all have the same machine."""

import os
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import psutil

from tests.benchmarks.figures import Rows
from tests.benchmarks.load import post_all
from tests.benchmarks.servers import address_of, cpu_s
from tests.benchmarks.webhooks import write_requests

_SPARE = 1.5  # a round may be faster than the last one
_TRIES = 5
_SETTLED_S = 0.1


@dataclass(frozen=True, slots=True)
class Round:
    """What one contender did in one round."""

    per_s: float
    p50_ms: float | None = None
    p99_ms: float | None = None
    cpu_us: float = 0.0  # per event, of the contender's processes
    database_cpu_us: float = 0.0
    cores: float = 0.0  # used on average, the database's too
    load_cores: float = 0.0  # used by the load generator
    log_bytes: float = 0.0  # per event, of the database's log
    otherwise: int = 0  # answers that were not 200, and connections that broke
    rows: tuple[Rows, ...] = ()


class Contender(Protocol):
    """Whoever can be measured for a while."""

    name: str

    def round(self, seconds: float) -> Round:
        """Do the work for so long, and say how it went."""


@dataclass(slots=True)
class Receiver:
    """A server that receives webhooks, with what it needs for another round.

    `make` prepares so many payments and returns their references; `count` returns how many rows
    of each kind the server has written so far."""

    name: str
    port: int
    process: psutil.Process
    folder: Path
    make: Callable[[int], Iterable[str]]
    count: Callable[[], Mapping[str, int]] = dict
    database_cpu_s: Callable[[], float] = lambda: 0.0
    log_bytes: Callable[[], int] = lambda: 0
    connections: int = 64
    expected_per_s: float = 1_500.0

    def round(self, seconds: float) -> Round:
        """Post webhooks that were never posted before."""
        for _ in range(_TRIES):
            found = self._try(seconds)
            if found is not None:
                return found
        raise RuntimeError(f"{self.name}: faster than anything that was prepared for it")

    def _try(self, seconds: float) -> Round | None:
        file = self.folder / "requests"
        references = self.make(round(self.expected_per_s * seconds * _SPARE) + 256)
        before = self.count()
        size = write_requests(file, references, address_of(self.port), at=datetime.now(UTC))
        os.sync()  # what was prepared is not written back while others are timed
        logged = self.log_bytes()
        used = (cpu_s(self.process), self.database_cpu_s())
        told = post_all(file, size, port=self.port, seconds=seconds, connections=self.connections)
        cpu = cpu_s(self.process) - used[0]
        database_cpu = self.database_cpu_s() - used[1]
        logged = self.log_bytes() - logged
        rows = self._rows(before, told.answered, told.sent)
        self.expected_per_s = max(told.per_s, 50.0)
        if told.was_too_short:
            self.expected_per_s *= 3
            return None
        events = max(1, told.answered)
        return Round(
            per_s=told.per_s,
            p50_ms=told.p50_ms,
            p99_ms=told.p99_ms,
            cpu_us=cpu / events * 1e6,
            database_cpu_us=database_cpu / events * 1e6,
            cores=(cpu + database_cpu) / told.duration_s,
            load_cores=told.cpu_s / told.duration_s,
            log_bytes=logged / events,
            otherwise=told.refused,
            rows=rows,
        )

    def until_quiet(self) -> Mapping[str, int]:
        """Return what is written once nothing more is."""
        last, now = None, self.count()
        while now != last:
            time.sleep(_SETTLED_S)
            last, now = now, self.count()
        return now

    def _rows(self, before: Mapping[str, int], least: int, most: int) -> tuple[Rows, ...]:
        """Count once nothing is written any more: what was in flight at the end may still be."""
        now = self.until_quiet()
        return tuple(Rows(what, now[what] - before[what], least, most) for what in now)


@dataclass(slots=True)
class Results:
    """The rounds of several contenders, by name."""

    rounds: dict[str, list[Round]] = field(default_factory=lambda: defaultdict(list))

    def per_s(self, name: str) -> float | None:
        """Return the median rate, None of who did not run."""
        return self.median(name, "per_s")

    def median(self, name: str, what: str) -> float | None:
        """Return the median of one of a round's values."""
        values = [getattr(each, what) for each in self.rounds.get(name, ())]
        known = [value for value in values if value is not None]
        return statistics.median(known) if known else None

    def cpu_us(self, name: str) -> float:
        """Return the processor time of one event, the database's with it."""
        parts = (self.median(name, what) for what in ("cpu_us", "database_cpu_us"))
        return sum(part or 0.0 for part in parts)

    def rows(self, name: str) -> tuple[Rows, ...]:
        """Return every round's rows that do not add up; else their sums, one for each kind."""
        every = [rows for each in self.rounds.get(name, ()) for rows in each.rows]
        wrong = [rows for rows in every if not rows.add_up]
        if wrong:
            return tuple(wrong)
        sums: dict[str, list[Rows]] = defaultdict(list)
        for rows in every:
            sums[rows.what].append(rows)
        return tuple(_sum(what, of_one) for what, of_one in sums.items())


def _sum(what: str, rows: Sequence[Rows]) -> Rows:
    found, least, most = (
        sum(getattr(each, name) for each in rows) for name in ("found", "least", "most")
    )
    return Rows(what, found, least, most)


def in_turns(contenders: Sequence[Contender], *, rounds: int, seconds: float) -> Results:
    """Warm everybody up for a moment, then measure each in each round."""
    results = Results()
    for contender in contenders:
        contender.round(1)
    for number in range(rounds):
        for contender in contenders:
            found = contender.round(seconds)
            results.rounds[contender.name].append(found)
            print(
                f"  round {number + 1} of {rounds}: {contender.name:28} {found.per_s:9,.0f}/s"
                f"  CPU {found.cpu_us:6.0f} + {found.database_cpu_us:4.0f} µs",
                flush=True,
            )
    return results
