"""Invoices in bulk, through the real tables: each waits for its customer, as if pushed.

One invoice is made by the ledger itself. The others are its rows with names, seals, hashes and
places of their own, so that every reader of the service takes them for what they look like.
"""

import hashlib
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlmodel import col

from service.app import open_context
from service.context import Context
from service.ids import new_id
from service.ledger.book import write
from service.ledger.hashing import GENESIS, transition_hash
from service.ledger.invoices import create_invoice
from service.ledger.people import box_of
from service.ledger.received import Received
from service.ledger.record import record
from service.ledger.types import Ask, NewInvoice
from service.settings import load_settings
from service.store.db import Database
from service.store.inserts import table_of
from service.store.schema import migrate
from service.store.tables import Command, Customer, Invoice, Transition
from service.vault.vault import page_lookup
from tests.benchmarks.bulk import Values, Writer, bulk_writer
from tests.benchmarks.webhooks import AMOUNT_MINOR, MSN, a_body
from webhooks.vipps_event import parse

# Parents before their children.
_TABLES = (
    *("invoice", "reference_claim", "payment", "act"),
    *("vipps_event", "transition", "command", "event"),
)
_SEALED = frozenset({"raw", "headers", "payload", "body"})
_CHUNK = 2_000
_REFERENCE = "bench-000000000000"
_HEADERS = b'{"x-ms-date":"Sun, 22 Nov 2026 10:00:00 GMT","user-agent":"Vipps/MobilePay Webhooks"}'

Seal = Callable[..., bytes]
Names = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Line:
    """One row of the model: its values, and which of them differ in a copy."""

    table: str
    values: Values
    texts: tuple[tuple[int, str, tuple[str, ...]], ...]  # column, text, the names in it
    seals: tuple[tuple[int, bytes, tuple[str, ...], Seal], ...]


class Pile:
    """Makes invoices in one database, as many as are asked for."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Open the service's own database and keys, and let the ledger make the model."""
        settings = load_settings(environment)
        self.url = settings.database_url
        database = Database(self.url)
        migrate(database)
        database.dispose()
        self._context = open_context(settings)
        self._model = _Model(self._context)
        self._made = 0
        # Of a ULID's 26 letters the first ten are its time: ids made here sort as others do.
        self._time = new_id("x")[2:12]

    def close(self) -> None:
        """Close the database."""
        self._context.database.dispose()

    def make(self, count: int) -> list[str]:
        """Store so many invoices in state `pushed`; return their references in random order."""
        references: list[str] = []
        with bulk_writer(self.url) as writer:
            for start in range(0, count, _CHUNK):
                references += self._chunk(writer, min(_CHUNK, count - start))
        random.Random(count).shuffle(references)
        return references

    def _chunk(self, writer: Writer, size: int) -> list[str]:
        rows: dict[str, list[Values]] = {table: [] for table in _TABLES}
        position = writer.position()
        references = []
        for _ in range(size):
            self._made += 1
            new = self._new_names()
            self._model.copy(new, rows, position)
            position += self._model.events
            references.append(new[_REFERENCE])
        writer.write(self._model.columns, rows, events=size * self._model.events)
        return references

    def _new_names(self) -> dict[str, str]:
        model = self._model
        start = self._made * len(model.ids)
        new = {
            name: f"{kind}_{self._time}{start + place:016}"
            for place, (name, kind) in enumerate(model.ids)
        }
        new[_REFERENCE] = f"bench-{self._made:012}"
        new[model.token] = self._context.vault.page_token(new[model.invoice_id])
        return new


class _Model:
    """The invoice that the ledger made, taken apart."""

    def __init__(self, context: Context) -> None:
        """Make it: asked for by the API, pushed, and reported as created by Vipps."""
        invoice = _make(context)
        self.invoice_id = invoice.id
        self.token = context.vault.page_token(invoice.id)
        self.columns: dict[str, tuple[str, ...]] = {}
        found: list[tuple[str, Values]] = []
        with bulk_writer(context.settings.database_url) as writer:
            for table in _TABLES:
                self.columns[table], rows = writer.model(table, invoice.id)
                found += [(table, row) for row in rows]
        keyed = [row[0] for table, row in found if table not in ("reference_claim", "transition")]
        self.ids = [(name, name.partition("_")[0]) for name in keyed]
        self._names = (*keyed, _REFERENCE, self.token)
        seal_of = _sealer(context, invoice)
        self._lines = [self._line(table, row, seal_of) for table, row in found]
        self.events = sum(line.table == "event" for line in self._lines)
        with context.database.snapshot() as session:
            rows = session.execute(
                sa.select(*table_of(Transition).c)
                .where(col(Transition.invoice_id) == invoice.id)
                .order_by(col(Transition.sequence))
            )
            self._transitions = [dict(row._mapping) for row in rows]

    def _line(self, table: str, row: Values, seal_of: "_SealOf") -> _Line:
        texts, seals = [], []
        for place, value in enumerate(row):
            if self.columns[table][place] in _SEALED and value is not None:
                plain, seal = seal_of(
                    bytes(value), f"{table}:{row[0]}:{self.columns[table][place]}"
                )
                seals.append((place, plain, self._names_in(plain.decode()), seal))
            elif isinstance(value, str) and (names := self._names_in(value)):
                texts.append((place, value, names))
        return _Line(table, row, tuple(texts), tuple(seals))

    def _names_in(self, text: str) -> tuple[str, ...]:
        return tuple(name for name in self._names if name in text)

    def copy(self, new: Names, rows: dict[str, list[Values]], position: int) -> None:
        """Add the rows of another invoice, whose first event comes after this position."""
        report_hashes: dict[str, bytes] = {}
        for line in self._lines:
            row = _renamed(line, new, self.columns[line.table])
            if line.table == "vipps_event":
                report_hashes[row[0]] = row[self._place("vipps_event", "raw_hash")]
            if line.table == "event":
                position += 1
                row[self._place("event", "position")] = position
            rows[line.table].append(row)
        head = self._chain(new, rows["transition"], report_hashes)
        invoice = rows["invoice"][-1]
        invoice[self._place("invoice", "head_hash")] = head
        invoice[self._place("invoice", "page_lookup")] = page_lookup(new[self.token])

    def _chain(self, new: Names, rows: list[Values], report_hashes: Mapping[str, bytes]) -> bytes:
        """Link the copy's transitions by their hashes; return the last one's."""
        head = GENESIS
        for typed, row in zip(self._transitions, rows[-len(self._transitions) :], strict=True):
            full = {name: new.get(v, v) if isinstance(v, str) else v for name, v in typed.items()}
            full["evidence_hash"] = report_hashes.get(full["evidence_id"])
            full["previous_hash"] = head
            full["hash"] = head = transition_hash(full)
            for name in ("evidence_hash", "previous_hash", "hash"):
                row[self._place("transition", name)] = full[name]
        return head

    def _place(self, table: str, column: str) -> int:
        return self.columns[table].index(column)


def _renamed(line: _Line, new: Names, columns: tuple[str, ...]) -> Values:
    row = line.values.copy()
    for place, text, names in line.texts:
        for name in names:
            text = text.replace(name, new[name])
        row[place] = text
    for place, plain, names, seal in line.seals:
        for name in names:
            plain = plain.replace(name.encode(), new[name].encode())
        row[place] = seal(plain, place=f"{line.table}:{row[0]}:{columns[place]}")
        if columns[place] == "raw":
            row[columns.index("raw_hash")] = hashlib.sha256(plain).digest()
    return row


_SealOf = Callable[[bytes, str], tuple[bytes, Seal]]


def _sealer(context: Context, invoice: Invoice) -> _SealOf:
    """Return what opens a value of the model, and says who seals its copies."""
    with context.database.snapshot() as session:
        customer = session.get(Customer, invoice.customer_id)
    assert customer is not None
    of_person = box_of(customer, context.vault)
    assert of_person is not None

    def opened(sealed: bytes, place: str) -> tuple[bytes, Seal]:
        box = of_person if of_person.can_open(sealed) else context.vault
        return box.open(sealed, place=place), box.seal

    return opened


def _make(context: Context) -> Invoice:
    asked = NewInvoice(
        amount_minor=AMOUNT_MINOR,
        currency="NOK",
        creation_hash=bytes(32),
        reference=_REFERENCE,
        phone_number="4791234567",
        terms={"kid": "1234566", "metadata": {"erp": "4711"}},
    )
    made, is_new = write(
        context, lambda book: create_invoice(book, MSN, asked, Ask(actor="key_bench"))
    )
    assert is_new
    body = a_body("CREATED", _REFERENCE, "0" * 32, datetime.now(UTC))
    now = context.clock.business_now()
    report = Received(new_id("vev"), MSN, "webhook", body, now, parse(body), _HEADERS)
    write(context, lambda book: record(book, [report]))
    with context.database.transaction() as session:
        settled = {"status": "done", "attempts": 1, "settled_at": now}
        session.execute(sa.update(Command).values(settled))
    with context.database.snapshot() as session:
        invoice = session.get(Invoice, made.id)
    assert invoice is not None and invoice.state == "pushed"
    return invoice
