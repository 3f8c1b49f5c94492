"""SIGKILL at random instants under load: `python -m tests.flows.kills --kills 1000 --seed 7`.

With `--postgresql` three processes share a server, which is itself ended now and then as if it
had crashed (`immediate`), and started again.

Merchants send, capture, refund and cancel, each request repeated with its Idempotency-Key until
it is acknowledged; customers approve or decline; Vipps fails, is slow, doubles and reorders. When
all has come to rest, the books, Vipps's ledger and the merchant's mail must tell one story.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from random import Random, SystemRandom

from tests.flows import checks, effects
from tests.flows.load import Load
from tests.flows.own_postgresql import OwnPostgresql, own_postgresql
from tests.flows.pause import pass_a_minute
from tests.flows.processes import Child, Late, eventually
from tests.flows.stack import Shop, Stack, running

# Vipps at its worst, except for losing webhooks: those only a later read would heal.
CHAOS = {"duplicate": 0.15, "reorder": 0.15, "status5xx": 0.05, "timeoutAfterActing": 0.05}
# How often PostgreSQL is ended beside a process, where it is: about once in twenty kills.
CRASHES = 0.05
# In the suite, on each kind of database.
KILLS = 30
# The longest waits: the lease of what was in hand at the last kill, Vipps's own gap of an hour
# (18 s here), and its limit on writes, which tries that were cut off use up, too (70 s).
REST_WITHIN_S = 180.0
# Everything else on the machine may come first while this runs for hours.
UP_WITHIN_S = 300.0
# So long a kill waits for something to be acknowledged.
_PATIENCE_S = 8.0
_SAY_EVERY = 100


def kill_at_random(
    stack: Stack, load: Load, *, kills: int, seed: int, server: OwnPostgresql | None = None
) -> int:
    """Kill a process at a random instant, start it again at once, and so on.

    `server`: end it now and then, too. Return how often that was."""
    dice, crashes = Random(f"{seed}:kills"), 0
    for number in range(1, kills + 1):
        victim = dice.choice(stack.service)
        # Some while they start, most at work.
        if dice.random() < 0.85:
            _wait_up(victim, may_have_ended=crashes > 0)
            _let_happen(dice.randint(0, 6), stack, load)
        time.sleep(dice.uniform(0.0, 0.3))
        if server is not None and dice.random() < CRASHES:
            _crash(server, dice)
            crashes += 1
        victim.kill()
        victim.start()
        if number % _SAY_EVERY == 0:
            print(f"kills: {number} of processes, {crashes} of PostgreSQL", flush=True)
    for child in stack.service:
        _wait_up(child, may_have_ended=crashes > 0)
    return crashes


def _let_happen(count: int, stack: Stack, load: Load) -> None:
    """Wait until so much more is acknowledged: a slow machine must not be killed to a standstill.

    Not for ever: it may be that nothing is left to do until a limit or a lease runs out."""

    def done() -> int:
        return len(load.invoices) + sum(load.acts.values()) + len(stack.front.acknowledged)

    enough, give_up_at = done() + count, time.monotonic() + _PATIENCE_S
    while done() < enough and time.monotonic() < give_up_at:
        time.sleep(0.01)


def _crash(server: OwnPostgresql, dice: Random) -> None:
    server.stop()
    time.sleep(dice.uniform(0.0, 2.0))
    server.start()


def _wait_up(child: Child, *, may_have_ended: bool) -> None:
    """Return once a process serves; one that found no database has ended, as it must."""
    if may_have_ended and not child.is_up_or_ends("/healthz", within_s=UP_WITHIN_S):
        child.start()
    child.wait_ready("/healthz", within_s=UP_WITHIN_S)


def torture(
    stack: Stack,
    *,
    kills: int,
    seed: int,
    server: OwnPostgresql | None = None,
    before_rest: Callable[[Stack], None] = lambda _: None,
) -> list[str]:
    """Kill so often under load, let it come to rest, and return what is wrong.

    `server`: what the stack's database is on, where that shall crash, too. `before_rest` may
    shorten what is waited for."""
    print(f"kills: seed {seed}, {kills} kills of {len(stack.service)} process(es)", flush=True)
    shop = stack.subscribe()
    stack.phone.set_chaos(**CHAOS, seed=seed)
    load = Load(stack.api, stack.phone, seed)
    started = time.monotonic()
    with load.at_work():
        crashes = kill_at_random(stack, load, kills=kills, seed=seed, server=server)
    killed = time.monotonic()
    stack.phone.set_chaos()
    before_rest(stack)
    wrong = rest(stack) + load.failures + judge(stack, load, shop)
    totals = {
        "kills": kills,
        "PostgreSQL kills": crashes,
        "invoices": len(load.invoices),
        "acts": sum(load.acts.values()),
        **_what_kills_met(stack, shop),
        "seconds of kills": round(killed - started),
        "to rest and judge": round(time.monotonic() - killed),
        "wrong": len(wrong),
    }
    print("kills:", ", ".join(f"{what} {n}" for what, n in totals.items()), flush=True)
    return wrong


def _what_kills_met(stack: Stack, shop: Shop) -> dict[str, int]:
    """Count what was cut off or done again: kills that meet nothing would prove nothing."""
    cut_off = "SELECT count(*) AS n FROM command_attempt WHERE latency_ms IS NULL"
    with checks.open_books(stack.database_url) as books:
        calls_cut_off = books.rows(cut_off)[0]["n"]
    webhooks, arrivals = stack.front.passed, shop.app.received
    return {
        "calls to Vipps cut off": calls_cut_off,
        "webhooks": len(webhooks),
        "webhooks not acknowledged": sum(w.status != 200 for w in webhooks),
        "arrivals": len(arrivals),
        "arrivals again": len(arrivals) - len({a.webhook_id for a in arrivals}),
    }


def keep_evidence(stack: Stack, folder: Path) -> None:
    """Write down what a fault is looked for in: every table, Vipps's ledger, what was logged."""
    folder.mkdir(parents=True, exist_ok=True)
    with checks.open_books(stack.database_url) as books:
        tables = {name: books.table(name) for name in books.names()}
    happened = {"effects": stack.phone.effects(), "payments": stack.phone.payments()}
    text = json.dumps({**tables, **happened}, default=str, indent=1)
    (folder / "rows.json").write_text(text)
    (folder / "output.log").write_bytes(stack.output())


def rest(stack: Stack) -> list[str]:
    """Wait until nothing is under way any more; return what never ended."""
    with checks.open_books(stack.database_url) as books:

        def is_at_rest() -> bool:
            # Twice, since work may make Vipps report, and a report may make work.
            for open_ones in (stack.unheard(), checks.unfinished(books), stack.unheard()):
                assert not open_ones, open_ones[:5]
            return True

        try:
            eventually(is_at_rest, within_s=REST_WITHIN_S, every_s=0.5, what="at rest")
        except Late as late:
            return [str(late)]
    return []


def judge(stack: Stack, load: Load, shop: Shop) -> list[str]:
    """Return everything in which the three witnesses disagree."""
    with checks.open_books(stack.database_url) as books:
        stored = {row["reference"] for row in books.rows("SELECT reference FROM invoice")}
        happened = stack.phone.effects()
        return [
            *(f"{name} is lost" for name in load.invoices if name not in stored),
            *checks.wrong_histories(books),
            *checks.wrong_feed(books),
            *checks.lost_webhooks(books, stack.front.acknowledged),
            *checks.twice_applied(books),
            *effects.doubled_effects(books, happened),
            *effects.missing_decisions(books, load.acts),
            *effects.diverged(books, stack.phone.payments()),
            *effects.wrongly_told(books, shop.app.received),
        ]


def main() -> int:
    """Torture a service on SQLite, or several processes on a PostgreSQL."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--kills", type=int, default=KILLS)
    options.add_argument("--seed", type=int, default=SystemRandom().randrange(10**6))
    options.add_argument("--postgresql", action="store_true", help="instead of SQLite")
    options.add_argument("--processes", type=int, default=3, help="on PostgreSQL")
    options.add_argument("--evidence", type=Path, help="where to keep what a fault left")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="betalbar-kills-") as name:
        tortured = _on_postgresql if chosen.postgresql else _on_sqlite
        wrong = tortured(Path(name), chosen)
    print("\n".join(wrong) or "nothing lost, nothing doubled", flush=True)
    return 1 if wrong else 0


def _on_sqlite(folder: Path, chosen: argparse.Namespace) -> list[str]:
    with running(folder, f"sqlite:///{folder}/betalbar.db") as stack:
        return _torture(stack, chosen)


def _on_postgresql(folder: Path, chosen: argparse.Namespace) -> list[str]:
    with (
        own_postgresql() as server,
        running(folder, server.url, processes=chosen.processes) as stack,
    ):
        return _torture(stack, chosen, server=server)


def _torture(
    stack: Stack, chosen: argparse.Namespace, server: OwnPostgresql | None = None
) -> list[str]:
    wrong = torture(
        stack, kills=chosen.kills, seed=chosen.seed, server=server, before_rest=pass_a_minute
    )
    if wrong and chosen.evidence:
        keep_evidence(stack, chosen.evidence / str(chosen.seed))
    return wrong


if __name__ == "__main__":
    sys.exit(main())
