"""Everything that takes hours: `python -m tests.torture --histories 100000 --kills 1000`.

Histories: random lives of invoices while webhooks get lost, doubled, late and shuffled, each
ending where Vipps's logs end (I4). Kills: SIGKILL at random instants under load (I12), of one
process on SQLite, then of three on a PostgreSQL that crashes now and then itself.
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
from tests.histories import CROWD, play


def torture_histories(count: int, *, seed: int) -> list[str]:
    """Play so many histories, say how it goes, and return what is wrong."""
    wrong = list[str]()
    crowds, started = -(-count // CROWD), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="betalbar-histories-") as folder:
        template = Path(folder) / "template.db"
        database = Database(f"sqlite:///{template}")
        migrate(database)
        database.dispose()
        played = play(template, Path(folder), seeds=range(seed, seed + crowds))
        for number, found in enumerate(played, start=1):
            wrong += found
            if number % 20 == 0 or number == crowds:
                seconds = time.monotonic() - started
                print(
                    f"histories: {number * CROWD} in {seconds:.0f} s, {len(wrong)} wrong",
                    flush=True,
                )
    return wrong


def torture_by_kills(count: int, *options: str, seed: int) -> int:
    """Kill so often; return the exit code of what judged the rest."""
    command = [sys.executable, "-m", "tests.flows.kills", f"--kills={count}", f"--seed={seed}"]
    return subprocess.run([*command, *options], check=False).returncode


def main() -> int:
    """Torture as asked for; print the seed with which it is repeated."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--histories", type=int, default=100_000)
    options.add_argument("--kills", type=int, default=1_000, help="on each kind of database")
    options.add_argument("--seed", type=int, default=SystemRandom().randrange(10**6))
    chosen = options.parse_args()
    print(f"torture: --seed {chosen.seed}", flush=True)
    wrong = torture_histories(chosen.histories, seed=chosen.seed) if chosen.histories else []
    if chosen.histories:
        print("\n".join(wrong) or "every history ended where Vipps's log did", flush=True)
    killed = 0
    if chosen.kills:
        killed |= torture_by_kills(chosen.kills, seed=chosen.seed)
        killed |= torture_by_kills(chosen.kills, "--postgresql", "--processes=3", seed=chosen.seed)
    return 1 if wrong or killed else 0


if __name__ == "__main__":
    sys.exit(main())
