"""Receiving: webhooks, signed before, to a durable transition and what merchants are told of it.

    python -m tests.benchmarks.receive [--databases sqlite,postgresql] [--rounds N] [--seconds S]

Over 64 keep-alive connections, in a random sequence of invoices, each of which is `pushed` and
gets its one AUTHORIZED. Everything of one database is measured in turns in one run.
"""

import argparse
import os
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from tests.benchmarks.databases import KINDS, Databases, databases
from tests.benchmarks.figures import Figure, at_least, below
from tests.benchmarks.load import LoadFailed, require_wrk
from tests.benchmarks.machine import this_machine
from tests.benchmarks.peers.disk import Disk
from tests.benchmarks.rounds import Contender, Results, in_turns
from tests.benchmarks.stage import EXPRESS, GENERATOR, LIMIT, OURS, TUTORIAL, Stage
from tests.benchmarks.table import new_console, show

TWO = "ours, 2 processes"
DISK = Disk.name

DJ_STRIPE = (
    "dj-stripe's webhook view made 182/s on PostgreSQL (2 workers); measured apart, not here"
)
# Two servers, their database, and the load: what two processes need to show what they can do.
CORES_FOR_TWO = 4


def measure(kind: str, *, rounds: int, seconds: float, is_quick: bool = False) -> list[Figure]:
    """Return the figures of one kind of database; quickly, without what can't be judged here."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        place = stack.enter_context(databases(kind, folder))
        stage = Stage(stack, place)
        ours = stage.ours().receiver
        contenders: list[Contender] = [ours, stage.limit(), stage.disk(), *stage.peers()]
        if kind == "postgresql" and not (is_quick and _cores() < CORES_FOR_TWO):
            contenders.append(stage.ours(TWO, processes=2).receiver)
        if kind == KINDS[0] or not is_quick:
            contenders.append(stage.generator())
        print(f"receive, {place.title}:", flush=True)
        results = in_turns(contenders, rounds=rounds, seconds=seconds)
        figures = [_ours(place, results, tuple(stage.remarks))]
        if TWO in results.rounds:
            figures.append(_two(results))
        if GENERATOR in results.rounds:
            figures.append(_generator(place, results))
        return figures


def _ours(place: Databases, results: Results, remarks: tuple[str, ...]) -> Figure:
    figure = _figure(f"receive, {place.title}", OURS, results)
    one, p99 = figure.ours, figure.p99_ms
    peers = {name: results.per_s(name) for name in (TUTORIAL, EXPRESS)}
    limit = results.per_s(LIMIT)
    if place.kind == "sqlite":
        goals = [
            at_least(25, one, peers[TUTORIAL], TUTORIAL),
            at_least(0.5, one, limit, LIMIT),
            below(20, p99, "p99"),
        ]
    else:
        goals = [
            at_least(15, one, peers[TUTORIAL], TUTORIAL),
            at_least(4, one, peers[EXPRESS], EXPRESS),
            at_least(0.3, one, limit, LIMIT),
            below(40, p99, "p99"),
        ]
    limits = {name: results.per_s(name) for name in (LIMIT, DISK)}
    return replace(
        figure,
        peers={name: value for name, value in peers.items() if value is not None},
        limits={name: value for name, value in limits.items() if value is not None},
        others_cpu_us={name: results.cpu_us(name) for name in (*peers, *limits)},
        goals=goals,
        remarks=(*figure.remarks, *remarks, DJ_STRIPE),
    )


def _two(results: Results) -> Figure:
    figure = _figure("receive, PostgreSQL, 2 processes", TWO, results)
    one = results.per_s(OURS)
    goal = at_least(1.5, figure.ours, one, "one process")
    if (cores := _cores()) < CORES_FOR_TWO:
        remark = f"{cores} cores are too few to judge: servers, database and load share them"
        goal = replace(goal, is_reached=None)
        figure = replace(figure, remarks=(*figure.remarks, remark))
    return replace(figure, peers={"one process": one or 0.0}, goals=(goal,))


def _generator(place: Databases, results: Results) -> Figure:
    """Say how fast the load can be: twice what anybody was measured at is enough."""
    figure = _figure(f"the load itself, beside {place.title}", GENERATOR, results)
    fastest = max(results.per_s(name) or 0.0 for name in (OURS, LIMIT))
    return replace(
        figure, cpu_us=None, goals=(at_least(2, figure.ours, fastest, "all that it measures"),)
    )


def _figure(title: str, name: str, results: Results) -> Figure:
    rounds = results.rounds[name]
    otherwise = sum(each.otherwise for each in rounds)
    cores, load = results.median(name, "cores"), results.median(name, "load_cores")
    logged = results.median(name, "log_bytes")
    remarks = [f"used {cores:.2f} cores, the load {load:.2f} more"]
    if logged:
        remarks.append(f"{logged / 1000:.1f} kB of PostgreSQL's log per event")
    if otherwise:
        remarks.append(f"{otherwise} answers were not 200")
    return Figure(
        name=title,
        unit="events/s",
        ours=results.per_s(name) or 0.0,
        rounds=[each.per_s for each in rounds],
        p50_ms=results.median(name, "p50_ms"),
        p99_ms=results.median(name, "p99_ms"),
        cpu_us=results.median(name, "cpu_us"),
        database_cpu_us=results.median(name, "database_cpu_us") or None,
        rows=results.rows(name),
        remarks=tuple(remarks),
    )


def _cores() -> int:
    return os.cpu_count() or 1


def run(
    rounds: int,
    *,
    seconds: float = 4.0,
    kinds: Sequence[str] = KINDS,
    is_quick: bool = False,
) -> list[Figure]:
    """Measure on each kind of database. Raises: LoadFailed."""
    require_wrk()
    return [
        figure
        for kind in kinds
        for figure in measure(kind, rounds=rounds, seconds=seconds, is_quick=is_quick)
    ]


def main() -> None:
    """Measure, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--databases", default=",".join(KINDS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0)
    options = parser.parse_args()
    machine = this_machine()
    try:
        figures = run(
            options.rounds, seconds=options.seconds, kinds=tuple(options.databases.split(","))
        )
    except LoadFailed as error:
        raise SystemExit(str(error)) from None
    show(figures, machine, new_console())


if __name__ == "__main__":
    main()
