"""Everything that takes hours: `python -m tests.torture --histories 100000 --kills 1000`.

Histories: random lives of invoices while webhooks get lost, doubled, late and shuffled, each
ending where Vipps's logs end (I4). Kills: SIGKILL at random instants under load (I12), of one
process on SQLite, then of three on a PostgreSQL that crashes now and then itself. Faults: all that
breaks beside, in rounds (F8 to F20), on both. Feed: eight writers and a reader that stops and
starts (I8), on both.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import SystemRandom

from service.store.db import Database
from service.store.schema import migrate
from tests.feed_writers import INVOICES, prove
from tests.flows.own_postgresql import own_postgresql
from tests.histories import CROWD, play

# Kills of one stack, which are judged together.
KILLS_AT_ONCE = 100


def torture_histories(count: int, *, seed: int) -> list[str]:
    """Play so many histories, say how it goes, and return what is wrong."""
    wrong = list[str]()
    crowds, started = -(-count // CROWD), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="betalbar-histories-", dir=_memory()) as folder:
        template = Path(folder) / "template.db"
        database = Database(f"sqlite:///{template}")
        migrate(database)
        database.dispose()
        played = play(template, Path(folder), seeds=range(seed, seed + crowds))
        for number, found in enumerate(played, start=1):
            wrong += found
            print(*found, sep="\n", end="\n" if found else "", flush=True)
            if number % 20 == 0 or number == crowds:
                seconds = time.monotonic() - started
                print(
                    f"histories: {number * CROWD} in {seconds:.0f} s,"
                    f" seeds {seed} to {seed + number - 1}, {len(wrong)} wrong",
                    flush=True,
                )
    return wrong


def _memory() -> str | None:
    """Return a folder in memory where there is one: histories try the ledger, not the disk."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108


def torture_feed(count: int, *, seed: int) -> list[str]:
    """Read a feed of so many events while it is written; return what is wrong."""
    wrong = list[str]()
    with (
        tempfile.TemporaryDirectory(prefix="betalbar-feed-") as folder,
        own_postgresql() as server,
    ):
        for url in (f"sqlite:///{folder}/feed.db", server.url):
            database = Database(url)
            migrate(database)
            database.dispose()
            started = time.monotonic()
            reader = prove(url, count, seed=seed, per_commit_max=INVOICES)
            wrong += reader.wrong
            seconds = time.monotonic() - started
            print(
                f"feed: {reader.events} events on {url.partition(':')[0]} in {seconds:.0f} s, "
                f"{reader.restarts} breaks, {len(reader.wrong)} wrong {reader.wrong[:5]}",
                flush=True,
            )
    return wrong


def torture_by_kills(count: int, *options: str, seed: int) -> int:
    """Kill so often, a stack of its own for each few; return the exit code of what judged them.

    Judging reads all there is, again and again: in one piece it would take longer than to kill."""
    failed = 0
    for start in range(0, count, KILLS_AT_ONCE):
        piece = (f"--kills={min(KILLS_AT_ONCE, count - start)}", f"--seed={seed + start}")
        command = [sys.executable, "-m", "tests.flows.kills", *piece, *options]
        failed |= subprocess.run(command, check=False).returncode
    return failed


def torture_by_faults(rounds: int, *, seed: int) -> int:
    """Let everything break in so many rounds on each database; return the worst exit code."""
    command = [sys.executable, "-m", "tests.flows.faults", f"--rounds={rounds}", f"--seed={seed}"]
    given: tuple[list[str], ...] = ([], ["--postgresql"])
    return max(subprocess.run([*command, *more], check=False).returncode for more in given)


def main() -> int:
    """Torture as asked for; print the seed with which it is repeated."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--histories", type=int, default=100_000)
    options.add_argument("--kills", type=int, default=1_000, help="on each kind of database")
    options.add_argument("--fault-rounds", type=int, default=20, help="on each kind of database")
    options.add_argument("--feed-events", type=int, default=100_000, help="on each database")
    options.add_argument("--seed", type=int, default=SystemRandom().randrange(10**6))
    chosen = options.parse_args()
    print(f"torture: --seed {chosen.seed}", flush=True)
    wrong = torture_histories(chosen.histories, seed=chosen.seed) if chosen.histories else []
    if chosen.histories and not wrong:
        print("every history ended where Vipps's log did", flush=True)
    wrong += torture_feed(chosen.feed_events, seed=chosen.seed) if chosen.feed_events else []
    killed = 0
    if chosen.kills:
        killed |= torture_by_kills(chosen.kills, seed=chosen.seed)
        killed |= torture_by_kills(chosen.kills, "--postgresql", "--processes=3", seed=chosen.seed)
    if chosen.fault_rounds:
        killed |= torture_by_faults(chosen.fault_rounds, seed=chosen.seed)
    return 1 if wrong or killed else 0


if __name__ == "__main__":
    sys.exit(main())
