"""A ledger whose feed is published, and short ways to what the tests of it need."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from itertools import count
from random import Random

import sqlalchemy as sa
from sqlmodel import col

from service.broker.positions import Behind, failing
from service.broker.sink import BrokerSink
from service.clock import Clock
from service.context import Context
from service.ledger.book import write
from service.ledger.invoices import create_invoice
from service.store.db import Database
from service.store.tables import BrokerPosition, Event
from tests.builders import MSN, THE_MERCHANT, a_context, an_invoice
from tests.flows.processes import DEADLINE_S

_NUMBERS = count(1)


@dataclass(slots=True)
class Press:
    """One service's feeds and its sink."""

    context: Context

    @asynccontextmanager
    async def publishing(self) -> AsyncIterator[asyncio.Task[None]]:
        """Run a sink beside the block, and have it stop in peace afterwards."""
        self.context.wake.bind()
        stop = asyncio.Event()
        task = asyncio.create_task(BrokerSink(self.context, dice=Random(7)).run(stop))
        try:
            yield task
        finally:
            stop.set()
            self.context.wake.events.hear()
            await task

    def invoice(self, msn: str = MSN, description: str = "Invoice 123") -> None:
        """Create an invoice, which is one event of the feed."""
        new = an_invoice(reference=f"press-{next(_NUMBERS):06}", description=description)
        write(self.context, lambda book: create_invoice(book, msn, new, THE_MERCHANT))

    def feed(self, msn: str = MSN) -> list[str]:
        """Return the ids of a sales unit's events, in order."""
        of_unit = sa.select(col(Event.id)).where(col(Event.msn) == msn)
        with self.context.database.snapshot() as session:
            return list(session.scalars(of_unit.order_by(col(Event.position))))

    def payloads(self, msn: str = MSN) -> list[bytes]:
        """Return the bytes of a sales unit's events, in order."""
        of_unit = sa.select(col(Event.id), col(Event.payload)).where(col(Event.msn) == msn)
        with self.context.database.snapshot() as session:
            rows = session.execute(of_unit.order_by(col(Event.position))).all()
        vault = self.context.vault
        return [vault.open(sealed, place=f"event:{key}:payload") for key, sealed in rows]

    def position(self, msn: str = MSN) -> int:
        """Return how far a feed is published."""
        with self.context.database.snapshot() as session:
            row = session.get(BrokerPosition, msn)
            assert row is not None
            return row.position

    def failing(self) -> Sequence[Behind]:
        """Return what `/readyz` is told of."""
        with self.context.database.snapshot() as session:
            return failing(session)

    def reasons(self) -> list[str]:
        """Return why events do not get through, by sales unit."""
        return [one.reason for one in self.failing()]

    def forget_position(self) -> None:
        """Put every feed back to its beginning, as a crash before the commit would."""
        with self.context.database.transaction() as session:
            session.execute(sa.update(BrokerPosition).values(position=0))

    def at_once(self) -> None:
        """Let waits after failures be over."""
        with self.context.database.transaction() as session:
            session.execute(sa.update(BrokerPosition).values(next_attempt_at=None))


def a_press(database: Database, url: str, *msns: str) -> Press:
    """Return a service whose events go to this broker, in real time."""
    context = a_context(database, *msns, BROKER_URL=url)
    return Press(replace(context, clock=Clock()))


async def until(look: Callable[[], bool | Awaitable[bool]], what: str) -> None:
    """Return once it is so. Raises: TimeoutError."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            found = look()
            if found if isinstance(found, bool) else await found:
                return
            await asyncio.sleep(0.02)
