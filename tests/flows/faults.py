"""Fault after fault under load: `python -m tests.flows.faults --rounds 10 --seed 7`.

In each round everything breaks once, in another order: the process is killed, its disk is full,
its database locked, its clock jumps, ten times the usual comes in; with `--postgresql`, the server
that two processes share crashes, or stands still. When all has come to rest, the books, Vipps's
ledger and the merchant's mail must tell one story.
"""

import argparse
import contextlib
import resource
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from random import Random, SystemRandom

import httpx

from tests.fake_merchant import accept_genuine
from tests.flows.faketime import WallClock, has_faketime
from tests.flows.kills import REST_WITHIN_S, judge, rest
from tests.flows.load import Load
from tests.flows.own_postgresql import OwnPostgresql, own_postgresql
from tests.flows.pause import pass_a_minute
from tests.flows.processes import Child
from tests.flows.stack import Stack, as_it_is, running

# Something is broken for so long, at most.
_BROKEN_S_MAX = 4.0
# Ten times what the service has places for.
_CROWD, _CALLS = 200, 600
_JUMPS_S = (600, -600, 366 * 86_400)

# What is broken until the end of the block.
Fault = Callable[[], AbstractContextManager[None]]


@contextmanager
def killed(stack: Stack, dice: Random) -> Iterator[None]:
    """Kill a process; it is started again afterwards."""
    victim = dice.choice(stack.service)
    victim.kill()
    yield
    victim.start()


@contextmanager
def disk_full(stack: Stack) -> Iterator[None]:
    """Let no file grow (EFBIG, which SQLite takes like ENOSPC)."""
    pid = _pid(stack.service[0])
    soft, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, hard))
    yield
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def locked(stack: Stack) -> Iterator[None]:
    """Write to the database, and do not come to an end."""
    file = stack.database_url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(file, isolation_level=None, timeout=60)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


@contextmanager
def crowded(stack: Stack) -> Iterator[None]:
    """Ask far more than can be answered."""
    headers = {"Authorization": f"Bearer {stack.api.key}"}
    urls = [f"{child.url}/v1/invoices?limit=50" for child in stack.service]

    def ask(number: int) -> None:
        # Shed before anything was read, or answered too late for this one.
        with contextlib.suppress(httpx.TransportError):
            client.get(urls[number % len(urls)], headers=headers)

    limits = httpx.Limits(max_connections=_CROWD, max_keepalive_connections=0)
    with (
        httpx.Client(timeout=_BROKEN_S_MAX, trust_env=False, limits=limits) as client,
        ThreadPoolExecutor(_CROWD) as crowd,
    ):
        for number in range(_CALLS):
            crowd.submit(ask, number)
        yield


@contextmanager
def jumped(clock: WallClock, dice: Random) -> Iterator[None]:
    """Let the service's clock be wrong."""
    clock.turn(dice.choice(_JUMPS_S))
    yield
    clock.turn(0)


@contextmanager
def crashed(server: OwnPostgresql) -> Iterator[None]:
    """Let PostgreSQL be away."""
    server.stop()
    yield
    server.start()


@contextmanager
def hanging(server: OwnPostgresql) -> Iterator[None]:
    """Let PostgreSQL stand still."""
    server.hang()
    yield
    server.go_on()


def torture(stack: Stack, faults: Mapping[str, Fault], *, rounds: int, dice: Random) -> list[str]:
    """Let each happen once in a round, under load; return what is wrong at the end."""
    shop = stack.subscribe()
    shop.app.react = accept_genuine
    load = Load(stack.api, stack.phone, dice.randrange(10**6))
    with load.at_work():
        for number in range(1, rounds + 1):
            for name in dice.sample(sorted(faults), len(faults)):
                print(f"faults: round {number}, {name}", flush=True)
                load.wait_for_more(3)
                with faults[name]():
                    time.sleep(dice.uniform(0.1, _BROKEN_S_MAX))
                for child in stack.service:
                    _wait_up(child)
    print(f"faults: {len(load.invoices)} invoices, to rest", flush=True)
    pass_a_minute(stack)
    wrong = rest(stack) + load.failures
    shop.app.forget_refused()  # what was signed while the clock was wrong
    return wrong + judge(stack, load, shop)


def _wait_up(child: Child) -> None:
    """Return once a process serves; one that had no database as it started has ended."""
    if not child.is_up_or_ends("/readyz", within_s=REST_WITHIN_S):
        child.start()
    child.wait_ready("/readyz", within_s=REST_WITHIN_S)


def _pid(child: Child) -> int:
    assert child.process is not None
    return child.process.pid


def on_sqlite(folder: Path, rounds: int, dice: Random) -> list[str]:
    """Torture one process, with a clock of its own where there is libfaketime."""
    clock = WallClock(folder / "clock") if has_faketime() else None
    if clock is None:
        print("faults: NOT RUN: jumps of the clock, which need libfaketime", flush=True)
    url, of_version = f"sqlite:///{folder}/betalbar.db", clock.given_to if clock else as_it_is
    with running(folder, url, of_version=of_version) as stack:
        faults: dict[str, Fault] = {
            "killed": partial(killed, stack, dice),
            "crowded": partial(crowded, stack),
            "disk full": partial(disk_full, stack),
            "locked": partial(locked, stack),
        }
        if clock is not None:
            faults["clock"] = partial(jumped, clock, dice)
        return torture(stack, faults, rounds=rounds, dice=dice)


def on_postgresql(folder: Path, rounds: int, dice: Random) -> list[str]:
    """Torture two processes and their server."""
    with ExitStack() as opened:
        server = opened.enter_context(own_postgresql())
        stack = opened.enter_context(running(folder, server.url, processes=2))
        faults: dict[str, Fault] = {
            "killed": partial(killed, stack, dice),
            "crowded": partial(crowded, stack),
            "server crashed": partial(crashed, server),
            "server hanging": partial(hanging, server),
        }
        return torture(stack, faults, rounds=rounds, dice=dice)


def main() -> int:
    """Torture as asked for."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=1)
    options.add_argument("--seed", type=int, default=SystemRandom().randrange(10**6))
    options.add_argument("--postgresql", action="store_true", help="instead of SQLite")
    chosen = options.parse_args()
    print(f"faults: --seed {chosen.seed}, {chosen.rounds} rounds", flush=True)
    tortured = on_postgresql if chosen.postgresql else on_sqlite
    with tempfile.TemporaryDirectory(prefix="betalbar-faults-") as folder:
        wrong = tortured(Path(folder), chosen.rounds, Random(f"{chosen.seed}:faults"))
    print("\n".join(wrong) or "nothing lost, nothing doubled", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
