"""Memory: at rest, and with ten times more webhooks than can be stored, at a constant rate.

    python -m tests.benchmarks.memory [--seconds 600]

No machine offers itself ten times what it can receive. So the database is made slow, as a disk or
a neighbour would: another transaction holds the lock of the feed most of the time. What can still
be stored is measured first, and the load is ten times that.
"""

import argparse
import asyncio
import resource
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import psycopg
import uvloop

from tests.benchmarks.databases import KINDS, databases
from tests.benchmarks.figures import Figure, Goal, Rows, below
from tests.benchmarks.machine import this_machine
from tests.benchmarks.open_loop import CONNECTIONS_MAX, OpenLoop, Told, percentile
from tests.benchmarks.pile import Pile
from tests.benchmarks.servers import SERVE_WITH_WORKER, address_of, server, settings_for
from tests.benchmarks.stage import Service, Stage
from tests.benchmarks.table import new_console, show
from tests.flows.processes import free_port

AT_REST_MIB = 150
UNDER_LOAD_MIB = 300
LATEST_S = 10
TIMES = 10
# The lock is held so long, and then once more as soon as whoever waited has had it.
HELD_S = 0.6
_REST_S = 5.0
_CALIBRATION_S = 6.0
_CALIBRATION_PER_S = 1_500.0
_PREPARED = 15_000
_SPARE = 1.5
_SAMPLE_S = 0.25
_FILES = CONNECTIONS_MAX + 500


def at_rest(kinds: Sequence[str]) -> list[Figure]:
    """Return what a whole service keeps in memory when nothing happens."""
    found = []
    for kind in kinds:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
            where = stack.enter_context(databases(kind, folder))
            port = free_port()
            environment = settings_for(where.make("ours"), port)
            Pile(environment).close()
            process = stack.enter_context(
                server("ours", SERVE_WITH_WORKER, environment, port=port, folder=folder)
            )
            time.sleep(_REST_S)
            mib = process.memory_info().rss / 2**20
            goal = below(AT_REST_MIB, mib, "at rest", "MiB")
            found.append(Figure(f"memory, {where.title}, at rest", "MiB", mib, goals=[goal]))
    return found


def overloaded(seconds: float) -> Figure:
    """Return what a receiver keeps in memory under ten times more than it can store."""
    _allow_files()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        where = stack.enter_context(databases("postgresql", folder))
        service = Stage(stack, where).ours()
        return uvloop.run(_overload(service, seconds))


async def _overload(service: Service, seconds: float) -> Figure:
    receiver, pile = service.receiver, service.pile
    loop = OpenLoop(address_of(receiver.port), receiver.port, pile.make(_PREPARED))
    with _slow(pile.url):
        stored_per_s = _rate(await loop.run(rate=_CALIBRATION_PER_S, seconds=_CALIBRATION_S))
    await asyncio.to_thread(receiver.until_quiet)
    loop.add(await asyncio.to_thread(pile.make, round(stored_per_s * seconds * _SPARE)))
    before = receiver.count()
    with _slow(pile.url), _watched(receiver.process) as highest:
        told = await loop.run(rate=TIMES * stored_per_s, seconds=seconds)
    loop.close()
    await asyncio.to_thread(receiver.until_quiet)
    return _figure(told, before, receiver.count(), highest_mib=max(highest), rate=stored_per_s)


def _rate(told: Told) -> float:
    """Return how many were stored in a second, from the first to the last."""
    lasted = told.last_stored_at - told.first_stored_at + HELD_S
    return told.statuses[200] / lasted


def _figure(
    told: Told,
    before: Mapping[str, int],
    after: Mapping[str, int],
    *,
    highest_mib: float,
    rate: float,
) -> Figure:
    # What was refused because its time was up may be stored all the same; it comes again as a twin.
    stored, most = told.statuses[200], sum(told.statuses.values()) + told.unanswered + told.broken
    rows = [Rows(what, after[what] - before[what], stored, most) for what in after]
    answers = (*told.stored_s, *told.shed_s)
    # What the load itself was late by is no fault of the server's.
    took_s = max(told.since_sent_s, default=0.0)
    in_time = took_s < LATEST_S and not told.unanswered
    return Figure(
        name=f"memory, PostgreSQL, {TIMES} x overload",
        unit="MiB",
        ours=highest_mib,
        p50_ms=percentile(told.stored_s, 0.5) * 1000,
        p99_ms=percentile(told.stored_s, 0.99) * 1000,
        rows=rows,
        goals=[
            below(UNDER_LOAD_MIB, highest_mib, "at most", "MiB"),
            Goal(f"no answer after {LATEST_S} s", in_time),
        ],
        remarks=[
            f"it could store {rate:,.0f}/s and was sent {TIMES * rate:,.0f}/s:"
            f" {dict(told.statuses)}, {told.unanswered} unanswered, {told.broken} cut off,"
            f" {told.turned_away} connections turned away",
            f"latest answer after {max(answers, default=0.0):.1f} s; a 503 came after"
            f" {percentile(told.shed_s, 0.5) * 1000:.0f} ms (p99"
            f" {percentile(told.shed_s, 0.99) * 1000:.0f} ms)",
            f"from the instant at which it was sent, an answer took"
            f" {percentile(told.since_sent_s, 0.5) * 1000:.0f} ms (p99"
            f" {percentile(told.since_sent_s, 0.99) * 1000:.0f} ms, at most"
            f" {took_s:.1f} s)",
            f"the load was late by {percentile(told.late_s, 0.5) * 1000:.1f} ms (p99"
            f" {percentile(told.late_s, 0.99) * 1000:.0f} ms), which is in these times",
        ],
    )


@contextmanager
def _slow(url: str) -> Iterator[None]:
    """Let somebody else hold the feed's lock most of the time; who waits for it is next."""
    done = threading.Event()

    def hold() -> None:
        with psycopg.connect(url) as connection:
            while not done.is_set():
                with connection.transaction():
                    connection.execute("SELECT * FROM feed FOR UPDATE")
                    done.wait(HELD_S)

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@contextmanager
def _watched(process: psutil.Process) -> Iterator[list[float]]:
    """Note a process's memory, in MiB, until the block ends."""
    done, seen = threading.Event(), [process.memory_info().rss / 2**20]

    def look() -> None:
        while not done.wait(_SAMPLE_S):
            seen.append(process.memory_info().rss / 2**20)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()


def _allow_files() -> None:
    """Let this process, and the servers that it starts, have a connection for each request."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < _FILES:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(_FILES, hard), hard))


def run(_rounds: int, *, seconds: float = 600.0, kinds: Sequence[str] = KINDS) -> list[Figure]:
    """Measure once: what matters is the highest value, and ten minutes are many rounds.

    `kinds` are those at rest; the overload is PostgreSQL's."""
    return [*at_rest(kinds), overloaded(seconds)]


def main() -> None:
    """Measure, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    options = parser.parse_args()
    machine = this_machine()
    show(run(1, seconds=options.seconds), machine, new_console())


if __name__ == "__main__":
    main()
