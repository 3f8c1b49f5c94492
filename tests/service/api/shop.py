"""A service with two sales units and its API, and short ways to what tests need of it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import orjson
import pytest
import sqlalchemy as sa
from sqlalchemy import event, exc
from sqlmodel import select
from starlette.applications import Starlette

from service.api.keys import create_key
from service.api.routes import api_routes, exception_handlers
from service.api.running import Running
from service.clock import Clock
from service.context import Context
from service.ids import new_id
from service.ledger.book import Book, write
from service.ledger.received import Received
from service.ledger.record import record
from service.settings import load_settings
from service.store.db import Database
from service.store.tables import Command, InvoiceRecord
from service.units import UnitValues, add_unit
from service.vault import open_vault
from service.wake import Wake
from statemachine import Outcome
from tests.api_contract import check_answers
from webhooks.vipps_event import parse

MSN, OTHER_MSN = "123456", "654321"
NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
PHONE = "4791234567"

# What is refused before anything is stored is the same on each database.
ONLY_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

# As the contract's own example, short.
INVOICE: dict[str, Any] = {
    "reference": "acme-2026-000123",
    "amount": {"currency": "NOK", "value": 200_000},
    "customer": {"phoneNumber": PHONE, "name": "Kari Nordmann"},
    "description": "Invoice 123",
}


@dataclass(slots=True)
class Shop:
    """One running API; `client` carries the first sales unit's key, `other` the second's."""

    context: Context
    client: httpx.AsyncClient
    other: httpx.AsyncClient
    nobody: httpx.AsyncClient
    app: Starlette
    key_id: str
    running: Running
    times: list[datetime]  # the last one is now

    @property
    def database(self) -> Database:
        """Return the database behind the API."""
        return self.context.database

    def later(self, **time: float) -> None:
        """Let time pass."""
        self.times.append(self.times[-1] + timedelta(**time))

    async def create(self, **changed: Any) -> httpx.Response:
        """Post the example invoice with some members changed; None leaves one out."""
        body = {k: v for k, v in {**INVOICE, **changed}.items() if v is not None}
        return await self.client.post("/v1/invoices", json=body)

    def all(self, model: Any, *conditions: Any) -> Sequence[Any]:
        """Return every row of a table that fits, by its key."""
        with self.database.snapshot() as session:
            keys = sa.inspect(model).primary_key
            return session.exec(select(model).where(*conditions).order_by(*keys)).all()

    def on_invoice(
        self, change: Callable[[Book, InvoiceRecord], None], reference: str = "acme-2026-000123"
    ) -> None:
        """Change an invoice through the ledger, as a worker or a webhook would."""
        write(self.context, lambda book: change(book, book.invoice_by_reference(MSN, reference)))

    async def until_any(self, model: Any, *conditions: Any) -> None:
        """Return once a row is there that another task is about to commit."""
        async with asyncio.timeout(10):
            while not await asyncio.to_thread(self.all, model, *conditions):  # noqa: ASYNC110
                await asyncio.sleep(0.01)  # a commit in another thread sets no event here

    def settle_commands(self, status: str = "done") -> None:
        """Let every command that waits have been answered by Vipps."""
        with self.database.transaction() as session:
            session.execute(sa.update(Command).values(status=status))

    def let_be_authorized(self, reference: str = "acme-2026-000123") -> None:
        """Let the customer approve, as Vipps would report it."""
        self.report("CREATED", 200_000, reference)
        self.report("AUTHORIZED", 200_000, reference)

    def let_be_captured(self, amount_minor: int) -> None:
        """Let Vipps report that so much was captured."""
        self.report("CAPTURED", amount_minor, "acme-2026-000123")

    def report(self, name: str, amount_minor: int, reference: str) -> None:
        """Take in a verified webhook; every command that waited has been answered before."""
        self.settle_commands()
        received = self._received(name, amount_minor, reference)
        outcomes = write(self.context, lambda book: record(book, [received]))
        assert outcomes == [Outcome.APPLIED]

    def _received(self, name: str, amount_minor: int, reference: str) -> Received:
        raw = orjson.dumps(
            {
                "msn": MSN,
                "reference": reference,
                "pspReference": new_id("psp"),
                "name": name,
                "amount": {"currency": "NOK", "value": amount_minor},
                "timestamp": self.times[-1].isoformat().replace("+00:00", "Z"),
                "success": True,
            }
        )
        return Received(
            id=new_id("vev"),
            msn=MSN,
            source="webhook",
            raw=raw,
            received_at=self.times[-1],
            report=parse(raw),
        )


@asynccontextmanager
async def open_shop(database: Database) -> AsyncIterator[Shop]:
    """Open the API with two sales units."""
    with database.transaction() as session:
        vault = open_vault(session, [b"k" * 32], now=NOW)
        for msn in (MSN, OTHER_MSN):
            add_unit(session, vault, _values(msn), now=NOW)
        keys = [create_key(session, msn=m, name="test", now=NOW) for m in (MSN, OTHER_MSN)]
    times, running, wake = [NOW], Running(), Wake()
    wake.bind()
    settings = load_settings({"BETALBAR_SUBSCRIBER_ALLOW": "127.0.0.0/8"})
    context = Context(settings, database, vault, Clock(real=lambda: times[-1]), wake)
    app = Starlette(routes=api_routes(context, running), exception_handlers=exception_handlers())
    async with (
        _client(app, keys[0][1]) as client,
        _client(app, keys[1][1]) as other,
        _client(app, None) as nobody,
    ):
        yield Shop(context, client, other, nobody, app, keys[0][0].id, running, times)


def take_away(database: Database) -> None:
    """Let the database be away from now on, as while it restarts."""

    def refuse(_connection: object) -> None:
        raise exc.OperationalError("BEGIN", None, Exception("gone"))

    for engine in {database._reader, database._writer}:
        event.listen(engine, "begin", refuse)


def _client(app: Starlette, key: str | None) -> httpx.AsyncClient:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app),
        base_url="http://api.example",
        headers=headers,
        event_hooks={"response": [check_answers]},
    )


def _values(msn: str) -> UnitValues:
    return UnitValues(
        msn=msn,
        name=f"Acme {msn}",
        organisation_number="999999999",
        contact_url="https://acme.example/contact",
        terms_of_sale_url="https://acme.example/terms",
        privacy_policy_url="https://acme.example/privacy",
        currency="NOK",
    )
