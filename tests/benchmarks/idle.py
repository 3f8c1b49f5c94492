"""At rest: what a whole service asks of its database while nothing happens.

    python -m tests.benchmarks.idle [--seconds 60]

Its workers hear of what there is to do (service/neighbours.py) and look for it only rarely. On
PostgreSQL the server says how many transactions ended; on SQLite the service's own are counted.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import psycopg
import sqlalchemy as sa

from service.api.running import Running
from service.app import working
from service.console import Outside
from service.context import Context
from service.opening import open_context
from service.settings import load_settings
from service.store.db import Database
from service.store.schema import migrate
from tests.benchmarks.databases import KINDS, Databases, databases, scalar
from tests.benchmarks.figures import Figure, below
from tests.benchmarks.machine import this_machine
from tests.benchmarks.servers import settings_for
from tests.benchmarks.table import new_console, show
from tests.flows.processes import free_port

# Before there was LISTEN, each of three loops looked each second.
PER_S_MAX = 1.0
_ENDED = "SELECT sum(xact_commit + xact_rollback) FROM pg_stat_database WHERE datname = ?"
# PostgreSQL tells what a session at rest has done after ten seconds.
_TOLD_AFTER_S = 11.0


def measure(kind: str, seconds: float) -> Figure:
    """Return how many transactions a second there are on one kind of database."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        where = stack.enter_context(databases(kind, folder))
        settings = load_settings(settings_for(where.make("ours"), free_port()))
        database = Database(settings.database_url)
        migrate(database)
        database.dispose()
        context = open_context(settings)
        stack.callback(context.database.dispose)
        per_s, cpu = asyncio.run(_rest(context, _counter(where, context), seconds))
    return Figure(
        name=f"at rest, {where.title}",
        unit="transactions/s",
        ours=per_s,
        goals=[below(PER_S_MAX, per_s, "idle", "a second")],
        remarks=[f"{cpu:.1%} of a core, for {seconds:.0f} s"],
    )


async def _rest(context: Context, count: Callable[[], int], seconds: float) -> tuple[float, float]:
    """Let the workers run with nothing to do; return transactions a second, and cores used."""
    async with working(context, Running(), Outside()):
        await asyncio.sleep(_TOLD_AFTER_S)
        before, used, begun = await asyncio.to_thread(count), time.process_time(), time.monotonic()
        await asyncio.sleep(seconds)
        lasted = time.monotonic() - begun
        after = await asyncio.to_thread(count)
        return (after - before) / lasted, (time.process_time() - used) / lasted


def _counter(where: Databases, context: Context) -> Callable[[], int]:
    if where.server_url:
        with psycopg.connect(where.server_url, autocommit=True) as connection:
            # Its transactions would be counted too.
            connection.execute("ALTER SYSTEM SET autovacuum = off")
            connection.execute("SELECT pg_reload_conf()")
        name = sa.make_url(context.settings.database_url).database
        return lambda: scalar(where.server_url, _ENDED, name)
    begun: list[None] = []
    for engine in (context.database._writer, context.database._reader):
        sa.event.listen(engine, "begin", lambda _connection: begun.append(None))
    return lambda: len(begun)


def run(_rounds: int, *, kinds: Sequence[str] = KINDS, seconds: float = 60.0) -> list[Figure]:
    """Measure on each kind of database; one round says it all."""
    return [measure(kind, seconds) for kind in kinds]


def main() -> None:
    """Measure, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    machine = this_machine()
    show(run(1, seconds=options.seconds), machine, new_console())


if __name__ == "__main__":
    main()
