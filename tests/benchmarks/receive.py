"""Receiving: webhooks, signed before, to a durable transition and what merchants are told of it.

    python -m tests.benchmarks.receive [--databases sqlite,postgresql] [--rounds N] [--seconds S]

Over 64 keep-alive connections, in a random sequence of invoices, each of which is `pushed` and
gets its one AUTHORIZED. Everything of one database is measured in turns in one run.
"""

import argparse
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import sqlalchemy as sa

from service.ids import new_id
from tests.benchmarks.databases import KINDS, Databases, databases, scalar
from tests.benchmarks.figures import Figure, at_least, below
from tests.benchmarks.load import LoadFailed, require_wrk
from tests.benchmarks.machine import this_machine
from tests.benchmarks.peers.disk import Disk
from tests.benchmarks.peers.installed import NotInstalled, express, python_with_fastapi
from tests.benchmarks.peers.lean import Lean
from tests.benchmarks.pile import Pile
from tests.benchmarks.rounds import Contender, Receiver, Results, in_turns
from tests.benchmarks.servers import BARE, SECRET, SERVE, VERIFY_ONLY, server, settings_for
from tests.benchmarks.table import new_console, show
from tests.flows.processes import clean_environment, free_port

OURS = "ours"
TWO = "ours, 2 processes"
TUTORIAL = "FastAPI + SQLModel"
EXPRESS = "express + pg"
LIMIT = "our server, only verifying"
DISK = Disk.name
GENERATOR = "wrk to a bare protocol"

DJ_STRIPE = (
    "dj-stripe's webhook view made 182/s on PostgreSQL (2 workers); measured apart, not here"
)
# Two servers, their database, and the load: what two processes need to show what they can do.
CORES_FOR_TWO = 4


class Stage:
    """The contenders for one kind of database, started as they are asked for."""

    def __init__(self, stack: ExitStack, place: Databases) -> None:
        """Take the databases and the stack that ends everything."""
        self._stack = stack
        self._place = place
        self._folder = place.folder
        self.remarks: list[str] = []

    def ours(self, name: str = OURS, *, processes: int = 1) -> tuple[Receiver, Pile]:
        """Return our service, without its workers."""
        port = free_port()
        environment = settings_for(self._place.make(f"ours{processes}"), port)
        pile = Pile(environment)
        self._stack.callback(pile.close)
        command = [*SERVE, "--processes", str(processes)]
        process = self._stack.enter_context(
            server(f"ours{processes}", command, environment, port=port, folder=self._folder)
        )
        receiver = Receiver(
            name=name,
            port=port,
            process=process,
            folder=self._folder,
            make=pile.make,
            count=_Written(pile.url),
            database_cpu_s=self._place.cpu_s,
        )
        return receiver, pile

    def limit(self) -> Receiver:
        """Return our server as it answers once the signature is proven."""
        port = free_port()
        environment = settings_for(self._place.make("limit"), port)
        Pile(environment).close()  # for its schema
        process = self._stack.enter_context(
            server("limit", VERIFY_ONLY, environment, port=port, folder=self._folder)
        )
        return Receiver(LIMIT, port, process, self._folder, _any, expected_per_s=6_000)

    def generator(self) -> Receiver:
        """Return a server that does nothing: what is measured is the load."""
        port = free_port()
        command = [*BARE, str(port)]
        process = self._stack.enter_context(
            server("bare", command, clean_environment(), port=port, folder=self._folder)
        )
        return Receiver(GENERATOR, port, process, self._folder, _any, expected_per_s=20_000)

    def disk(self) -> Disk:
        """Return the driver alone."""
        pile = Pile(settings_for(self._place.make("disk"), free_port()))
        self._stack.callback(pile.close)
        return Disk(pile, self._place.cpu_s)

    def peers(self) -> Iterator[Receiver]:
        """Return those who can run here; of the others a remark says why not."""
        starts = (
            [self._tutorial] if self._place.kind == "sqlite" else [self._tutorial, self._express]
        )
        for start in starts:
            try:
                yield start()
            except NotInstalled as error:
                self.remarks.append(str(error))

    def _tutorial(self) -> Receiver:
        python = python_with_fastapi()
        url, port = self._place.make("tutorial"), free_port()
        command = [
            *(str(python), "-m", "uvicorn", "tests.benchmarks.peers.tutorial:app"),
            *("--port", str(port), "--no-access-log", "--log-level", "warning"),
        ]
        driver = url if self._place.kind == "sqlite" else url.replace("://", "+psycopg://", 1)
        environment = clean_environment(DATABASE_URL=driver, SECRET=SECRET)
        return self._lean(TUTORIAL, command, environment, url=url, port=port)

    def _express(self) -> Receiver:
        folder = express()
        url, port = self._place.make("express"), free_port()
        parts = sa.make_url(url)
        environment = clean_environment(
            PORT=str(port),
            PROCESSES=str(os.cpu_count() or 1),
            SECRET=SECRET,
            NODE_ENV="production",
            PGHOST=str(parts.query["host"]),
            PGUSER=str(parts.username),
            PGDATABASE=str(parts.database),
        )
        node = str(shutil.which("node"))
        command = [node, str(folder / "receiver.js")]
        return self._lean(EXPRESS, command, environment, url=url, port=port)

    def _lean(
        self, name: str, command: list[str], environment: Mapping[str, str], *, url: str, port: int
    ) -> Receiver:
        lean = Lean(url)
        process = self._stack.enter_context(
            server(name.split()[0], command, environment, port=port, folder=self._folder)
        )
        return Receiver(
            name=name,
            port=port,
            process=process,
            folder=self._folder,
            make=lean.make,
            count=lean.count,
            database_cpu_s=self._place.cpu_s,
            expected_per_s=600,
        )


class _Written:
    """Counts what our service has written since now: ids of a later time sort behind it."""

    def __init__(self, url: str) -> None:
        """Start here."""
        self._url = url
        self._since = new_id("vev").removeprefix("vev_")

    def __call__(self) -> Mapping[str, int]:
        """Return how many rows of each kind there are since."""
        vev, evt = f"vev_{self._since}", f"evt_{self._since}"
        return {
            "Vipps events": self._of("vipps_event WHERE id > ? AND outcome = 'applied'", vev),
            "transitions": self._of("transition WHERE evidence_id > ?", vev),
            "events": self._of("event WHERE id > ? AND is_transition", evt),
        }

    def _of(self, what: str, since: str) -> int:
        return scalar(self._url, f"SELECT count(*) FROM {what}", since)  # noqa: S608


def _any(number: int) -> list[str]:
    """Return references that nobody knows."""
    return [f"bench-{place:012}" for place in range(number)]


def measure(kind: str, *, rounds: int, seconds: float) -> list[Figure]:
    """Return the figures of one kind of database."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        place = stack.enter_context(databases(kind, folder))
        stage = Stage(stack, place)
        ours, _ = stage.ours()
        contenders: list[Contender] = [ours, stage.limit(), stage.disk(), *stage.peers()]
        if kind == "postgresql":
            contenders.append(stage.ours(TWO, processes=2)[0])
        contenders.append(stage.generator())
        print(f"receive, {place.title}:", flush=True)
        results = in_turns(contenders, rounds=rounds, seconds=seconds)
        figures = [_ours(place, results, tuple(stage.remarks))]
        if kind == "postgresql":
            figures.append(_two(results))
        return [*figures, _generator(place, results)]


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
        goals=goals,
        remarks=(*figure.remarks, *remarks, DJ_STRIPE),
    )


def _two(results: Results) -> Figure:
    figure = _figure("receive, PostgreSQL, 2 processes", TWO, results)
    one = results.per_s(OURS)
    goal = at_least(1.5, figure.ours, one, "one process")
    cores = os.cpu_count() or 1
    if cores < CORES_FOR_TWO:
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
    remarks = [f"used {cores:.2f} cores, the load {load:.2f} more"]
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


def run(rounds: int, *, seconds: float = 4.0, kinds: tuple[str, ...] = KINDS) -> list[Figure]:
    """Measure on each kind of database. Raises: LoadFailed."""
    require_wrk()
    return [figure for kind in kinds for figure in measure(kind, rounds=rounds, seconds=seconds)]


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
