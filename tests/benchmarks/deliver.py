"""How many deliveries leave in a second, and how long one takes from its commit.

    python -m tests.benchmarks.deliver [--rounds 5] [--database sqlite|postgresql]

One event goes to 1, 10 or 100 subscribers, each at an address of its own: signed, logged, in order
per invoice, over connections that are kept. First a pile of events is told as fast as it goes; the
limit beside it is the same client posting the same signed bytes to the same receivers, without a
database. Then events are committed at half that rate, and timed until they arrive. Afterwards every
row is counted, and every signature and order checked. The receivers are another process.
"""

import argparse
import asyncio
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import orjson
import sqlalchemy as sa
import uvloop

from service.clock import real_now
from service.ids import new_id
from service.outbox.deliverer import Deliverer
from service.outbox.deliveries import AT_ONCE_PER_SUBSCRIPTION_MAX
from service.outbox.egress import Egress, open_egress
from service.outbox.places import SOUND_MAX
from service.outbox.rows import ATTEMPT, DELIVERY, EVENT, FEED, SUBSCRIPTION
from service.outbox.subscriptions import SUBSCRIPTIONS_MAX
from service.store.db import Database
from service.store.schema import migrate
from service.store.tables import DeliveryStatus
from tests.benchmarks.figures import Figure, Goal, Rows, at_least, below, median
from tests.benchmarks.receivers import Arrived, serve_receivers
from tests.flows.own_postgresql import own_postgresql
from tests.service.outbox.builders import MSN, NOW, Shop, a_shop
from webhooks import standard

SUBSCRIBERS = (1, 10, 100)
DELIVERIES = 4_000
# A receiver that has just been met gets no more than 500 a second at first.
WARM_UP = 2_000
# Of these the events are in turn, so that many lines are open at once, each of several events.
INVOICES = 500
LATENCY_S = 3.0
# As group commit does: what comes within so long shares a commit.
COMMIT_EVERY_S = 0.01
LIMIT_PER_S = 5_000
_LOOPBACK = (ip_network("127.0.0.0/8"),)
_PADDING = "x" * 1_400  # an invoice's event has some 1.6 kB


class _LiveShop(Shop):
    """A shop whose clock goes."""

    @property
    def now(self) -> Any:
        """Return the real time."""
        return real_now()

    @now.setter
    def now(self, _at: Any) -> None:
        """Leave the time alone."""


@dataclass
class Case:
    """One kind of database with so many subscribers, and what was measured there."""

    kind: str
    shop: Shop
    secrets: Mapping[str, str]  # by the path that the subscriber is told at
    urls: Sequence[str]
    events: int = 0
    rates: list[float] = field(default_factory=list)
    limits: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)
    limit_cpu_us: list[float] = field(default_factory=list)
    p50s: list[float] = field(default_factory=list)
    p99s: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    @property
    def owed(self) -> int:
        """Return how many deliveries there must be."""
        return self.events * len(self.urls)


def run(rounds: int, kinds: Sequence[str] = ("sqlite", "postgresql")) -> list[Figure]:
    """Measure every case so many times, in turns; return a figure for each."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.Process(target=serve_receivers, args=(theirs,), daemon=True)
    process.start()
    try:
        port = ours.recv()
        with _cases(kinds, port) as cases:
            for _ in range(rounds):
                for case in cases:
                    uvloop.run(_measure(case, ours))
            return [_figure(case) for case in cases]
    finally:
        process.terminate()
        process.join()


async def _measure(case: Case, receivers: Connection) -> None:
    await _without_database(case, receivers)
    async with _delivering(case):
        _check(case, await _as_fast_as_it_goes(case, receivers, WARM_UP))
        used, began = time.process_time(), time.monotonic()
        arrived = await _as_fast_as_it_goes(case, receivers, DELIVERIES)
        count = sum(map(len, arrived.values()))
        case.rates.append(count / (time.monotonic() - began))
        case.cpu_us.append((time.process_time() - used) / count * 1e6)
        _check(case, arrived)
    await _at_half_load(case, receivers)


async def _as_fast_as_it_goes(
    case: Case, receivers: Connection, deliveries: int
) -> dict[str, list[Arrived]]:
    """Commit a pile of events at once, and return what has arrived of it."""
    events = deliveries // len(case.urls)
    await asyncio.to_thread(_tell, case, events)
    case.shop.wake.events.set()
    return await _until_arrived(receivers, events * len(case.urls))


async def _without_database(case: Case, receivers: Connection) -> None:
    """Measure the client alone: bytes that are signed already, and no row anywhere."""
    letters = []
    for number in range(DELIVERIES):
        url = case.urls[number % len(case.urls)]
        event = new_id("evt")
        body = _payload(event, number)
        secret = case.secrets[_path(url)]
        keys = (case.shop.vault.signing_key,)
        headers = standard.sign(
            webhook_id=event, at=real_now(), body=body, secrets=[secret], signing_keys=keys
        )
        letters.append((url, {**headers, "content-type": "application/json"}, body))
    left = iter(letters)
    async with open_egress(allow=_LOOPBACK) as egress:
        used, began = time.process_time(), time.monotonic()
        # As many at once as the deliverer would have under way.
        width = min(SOUND_MAX, len(case.urls) * AT_ONCE_PER_SUBSCRIPTION_MAX)
        await asyncio.gather(*(_post_on(egress, left) for _ in range(width)))
        case.limits.append(DELIVERIES / (time.monotonic() - began))
        case.limit_cpu_us.append((time.process_time() - used) / DELIVERIES * 1e6)
    await _until_arrived(receivers, DELIVERIES)


async def _post_on(egress: Egress, left: Iterator[Any]) -> None:
    for url, headers, body in left:
        reply = await egress.post(url, headers=headers, body=body)
        if not reply.is_accepted:
            raise SystemExit(f"the receiver did not take it: {reply.error}")


async def _at_half_load(case: Case, receivers: Connection) -> None:
    """Commit events at half the rate that was reached; note how long each took to arrive."""
    per_s = case.rates[-1] / 2 / len(case.urls)
    told: dict[str, float] = {}
    async with _delivering(case):
        began, count = time.monotonic(), 0
        while (now := time.monotonic()) < began + LATENCY_S:
            due = int((now - began) * per_s) + 1 - count
            if due > 0:
                count += due
                keys = await asyncio.to_thread(_tell, case, due)
                told |= dict.fromkeys(keys, time.monotonic())
                case.shop.wake.events.set()
            await asyncio.sleep(COMMIT_EVERY_S)
        arrived = await _until_arrived(receivers, count * len(case.urls))
    waits = [(one.at - told[one.event]) * 1000 for ones in arrived.values() for one in ones]
    quantiles = statistics.quantiles(waits, n=100)
    case.p50s.append(quantiles[49])
    case.p99s.append(quantiles[98])
    _check(case, arrived)


class _delivering:
    """A deliverer that runs beside the block, and has settled everything behind it."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._stop = asyncio.Event()

    async def __aenter__(self) -> None:
        self._case.shop.wake.bind()
        self._egress = open_egress(allow=_LOOPBACK)
        egress = await self._egress.__aenter__()
        deliverer = Deliverer(self._case.shop.context(), egress)
        self._running = asyncio.create_task(deliverer.run(self._stop))

    async def __aexit__(self, *raised: Any) -> None:
        self._stop.set()
        await asyncio.wait_for(self._running, 20)
        await self._egress.__aexit__(*raised)


async def _until_arrived(receivers: Connection, count: int) -> dict[str, list[Arrived]]:
    """Return what has come since the last call, once it is so many, or no more comes."""
    receivers.send(count)
    arrived: dict[str, list[Arrived]] = await asyncio.to_thread(receivers.recv)
    return arrived


def _tell(case: Case, count: int) -> list[str]:
    """Append events to the feed in one commit, with the rows that the ledger would write."""
    shop, rows = case.shop, []
    with shop.database.transaction() as session:
        last = session.execute(
            sa.update(FEED)
            .where(FEED.c.msn == MSN)
            .values(position=FEED.c.position + count)
            .returning(FEED.c.position)
        ).scalar_one()
        for position in range(last - count + 1, last + 1):
            key = new_id("evt")
            sealed = shop.vault.seal(_payload(key, position), place=f"event:{key}:payload")
            rows.append(
                {
                    "id": key,
                    "msn": MSN,
                    "position": position,
                    "type": "invoice.pushed",
                    "invoice_id": f"inv_{position % INVOICES}",
                    "recorded_at": NOW,
                    "payload": sealed,
                }
            )
        session.execute(sa.insert(EVENT).returning(EVENT.c.id), rows).all()
    case.events += count
    return [str(row["id"]) for row in rows]


def _payload(key: str, position: int) -> bytes:
    return orjson.dumps({"id": key, "position": position, "data": _PADDING})


def _check(case: Case, arrived: Mapping[str, Sequence[Arrived]]) -> None:
    """Note what did not come once, signed, and in its invoice's order."""
    keys = {one.event for ones in arrived.values() for one in ones}
    with case.shop.database.snapshot() as session:
        newest = case.events - len(keys)
        found = session.execute(
            sa.select(EVENT.c.id, EVENT.c.position, EVENT.c.invoice_id, EVENT.c.payload).where(
                EVENT.c.position > newest
            )
        ).all()
    bodies = {
        row.id: case.shop.vault.open(row.payload, place=f"event:{row.id}:payload") for row in found
    }
    at = {row.id: (row.invoice_id, row.position) for row in found}
    for url in case.urls:
        ones = arrived.get(_path(url), [])
        if sorted(one.event for one in ones) != sorted(at):
            case.wrong.append(f"{len(ones)} came to {_path(url)} instead of {len(at)}")
            continue
        last: dict[str, int] = {}
        for one in ones:
            invoice, position = at[one.event]
            if last.get(invoice, 0) > position:
                case.wrong.append(f"{one.event} came late")
            last[invoice] = position
            standard.verify(
                one.headers, bodies[one.event], keys=[case.secrets[_path(url)]], now=real_now()
            )


def _figure(case: Case) -> Figure:
    ours, limit, p50, p99 = map(median, (case.rates, case.limits, case.p50s, case.p99s))
    assert ours is not None and limit is not None
    return Figure(
        name=f"deliver to {len(case.urls)}, {case.kind}",
        unit="deliveries/s",
        ours=ours,
        rounds=case.rates,
        limits={"the same client without a database": limit},
        p50_ms=p50,
        p99_ms=p99,
        cpu_us=median(case.cpu_us),
        rows=_rows(case),
        goals=[
            Goal(f"limit ≥ {LIMIT_PER_S}/s", limit >= LIMIT_PER_S),
            at_least(0.5, ours, limit, "the limit"),
            below(20, p50, "p50 at half load"),
            below(100, p99, "p99 at half load"),
        ],
        remarks=[
            f"the client's own CPU {median(case.limit_cpu_us) or 0:.0f} µs per request",
            *case.wrong[:5],
        ],
    )


def _rows(case: Case) -> list[Rows]:
    counted = sa.select(sa.func.count())
    delivered = DELIVERY.c.status == DeliveryStatus.DELIVERED
    with case.shop.database.snapshot() as session:
        found = {
            "deliveries, delivered": counted.select_from(DELIVERY).where(
                delivered, DELIVERY.c.attempts == 1, DELIVERY.c.lease.is_(None)
            ),
            "deliveries": counted.select_from(DELIVERY),
            "attempts, taken": counted.select_from(ATTEMPT).where(ATTEMPT.c.status == 204),
            "attempts": counted.select_from(ATTEMPT),
        }
        rows = [
            Rows(what, session.execute(query).scalar_one(), case.owed, case.owed)
            for what, query in found.items()
        ]
    return [*rows, Rows("rounds with something wrong", len(case.wrong), 0, 0)]


def _path(url: str) -> str:
    return url.rpartition("/")[2]


@contextmanager
def _cases(kinds: Sequence[str], port: int) -> Iterator[list[Case]]:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, own_postgresql() as server:
        admin = sa.create_engine(
            sa.make_url(server.url).set(drivername="postgresql+psycopg"),
            isolation_level="AUTOCOMMIT",
        )
        cases = []
        for kind in kinds:
            for count in SUBSCRIBERS:
                url = f"sqlite:///{Path(folder) / str(count)}.db"
                if kind == "postgresql":
                    with admin.connect() as connection:
                        connection.execute(sa.text(f"CREATE DATABASE to_{count}"))
                    made = sa.make_url(server.url).set(database=f"to_{count}")
                    url = made.render_as_string(hide_password=False)
                cases.append(_case(kind, url, count, port))
        admin.dispose()
        try:
            yield cases
        finally:
            for case in cases:
                case.shop.database.dispose()


def _case(kind: str, url: str, subscribers: int, port: int) -> Case:
    database = Database(url)
    migrate(database)
    others = [f"9{n:05}" for n in range(-(-subscribers // SUBSCRIPTIONS_MAX))]
    made = a_shop(database, MSN, *others)
    shop = _LiveShop(made.database, made.vault, made.now, made.wake)
    urls = [f"http://127.0.1.{n + 1}:{port}/to_{n}" for n in range(subscribers)]
    secrets = {
        _path(each): shop.subscribe(each, msn=others[n // SUBSCRIPTIONS_MAX])[1]
        for n, each in enumerate(urls)
    }
    with database.transaction() as session:  # more than one sales unit may make for itself
        session.execute(sa.update(SUBSCRIPTION).values(msn=MSN))
    return Case(kind, shop, secrets, urls)


def main() -> None:
    """Measure, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], nargs="*")
    options = parser.parse_args()
    for figure in run(options.rounds, options.database or ("sqlite", "postgresql")):
        (limit,) = figure.limits.values()
        print(
            f"{figure.name:28} {figure.ours:7.0f}/s of {limit:6.0f}/s"
            f" = {figure.ratio_to(limit):.2f}   p50 {figure.p50_ms:6.1f} p99 {figure.p99_ms:6.1f}"
            f" ms   CPU {figure.cpu_us:5.0f} µs   {'FAILED' if figure.has_failed else 'adds up'}"
            f"   {' '.join(figure.remarks)}"
        )


if __name__ == "__main__":
    main()
