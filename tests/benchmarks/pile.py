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

from service.context import Context
from service.ids import new_id
from service.ledger.book import write
from service.ledger.hashing import GENESIS, transition_hash
from service.ledger.invoices import create_invoice
from service.ledger.people import box_of
from service.ledger.received import Received
from service.ledger.record import record
from service.ledger.types import Ask, NewInvoice
from service.opening import open_context
from service.settings import load_settings
from service.store.db import Database
from service.store.inserts import table_of
from service.store.schema import migrate
from service.store.tables import Command, Customer, Invoice, Transition
from service.vault.vault import page_lookup
from statemachine import Outcome
from tests.benchmarks.bulk import Values, Writer, bulk_writer
from tests.benchmarks.webhooks import AMOUNT_MINOR, MSN, a_body
from webhooks.vipps_event import parse

# Parents before their children.
_TABLES = (
    *("invoice", "reference_claim", "payment", "act"),
    *("vipps_event", "transition", "command", "event"),
)
# What one webhook writes.
_TOUCHED = ("invoice", "payment", "vipps_event", "transition", "command", "event")
_SEALED = frozenset({"raw", "headers", "payload", "body"})
_CHUNK = 2_000
_REFERENCE = "bench-000000000000"
_HEADERS = b'{"x-ms-date":"Sun, 22 Nov 2026 10:00:00 GMT","user-agent":"Vipps/MobilePay Webhooks"}'

Seal = Callable[..., bytes]
Names = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Line:
    """One row of the model: its values, and which of them differ in a copy.

    Texts are formats, with a name of the model where a copy has its own."""

    table: str
    values: Values
    texts: tuple[tuple[int, str], ...]
    seals: tuple[tuple[int, str, str, Seal], ...]  # column, text, place but for the key, seal


class Pile:
    """Makes invoices in one database, as many as are asked for."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Open the service's own database and keys, and let the ledger make the model."""
        settings = load_settings(environment)
        self.url = settings.database_url
        database = Database(self.url)
        migrate(database)
        database.dispose()
        self.context = open_context(settings)
        self._model = _Model(self.context)
        self._made = 0
        # Of a ULID's 26 letters the first ten are its time: ids made here sort as others do.
        self._time = new_id("x")[2:12]

    def close(self) -> None:
        """Close the database."""
        self.context.database.dispose()

    def make(self, count: int) -> list[str]:
        """Store so many invoices in state `pushed`; return their references in random order."""
        references: list[str] = []
        with bulk_writer(self.url) as writer:
            for start in range(0, count, _CHUNK):
                with writer.alone():
                    references += self._chunk(writer, min(_CHUNK, count - start))
        random.Random(count).shuffle(references)
        return references

    def reference_of(self, number: int) -> str:
        """Return the reference of the invoice that was made so many-th."""
        return f"bench-{number:012}"

    def id_of(self, number: int) -> str:
        """Return its id: the first of the model's, whose copies are numbered in turn."""
        return f"inv_{self._time}{number * len(self._model.ids):016}"

    def authorized_model(self) -> tuple[dict[str, tuple[str, ...]], dict[str, Values]]:
        """Let one invoice be authorized; return each table's columns, and the row it now has.

        That is the last row where an invoice has several: what the webhook has written."""
        reference = self.make(1)[0]
        invoice_id = _report(self.context, reference, "AUTHORIZED")
        with bulk_writer(self.url) as writer:
            found = {table: writer.model(table, invoice_id)[1][-1] for table in _TOUCHED}
        return self._model.columns, found

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
        new[_REFERENCE] = self.reference_of(self._made)
        new[model.token] = self.context.vault.page_token(new[model.invoice_id])
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
        self._places = {
            (table, name): place
            for table, names in self.columns.items()
            for place, name in enumerate(names)
        }
        self._transitions = _transitions_of(context, invoice.id)

    def _line(self, table: str, row: Values, seal_of: "_SealOf") -> _Line:
        texts, seals = [], []
        for place, value in enumerate(row):
            column = self.columns[table][place]
            if column in _SEALED and value is not None:
                plain, seal = seal_of(bytes(value), f"{table}:{row[0]}:{column}")
                seals.append((place, self._format(plain.decode()), f"{table}:%s:{column}", seal))
            elif isinstance(value, str) and any(name in value for name in self._names):
                texts.append((place, self._format(value)))
        return _Line(table, row, tuple(texts), tuple(seals))

    def _format(self, text: str) -> str:
        text = text.replace("%", "%%")
        for name in self._names:
            text = text.replace(name, f"%({name})s")
        return text

    def copy(self, new: Names, rows: dict[str, list[Values]], position: int) -> None:
        """Add the rows of another invoice, whose first event comes after this position."""
        report_hashes: dict[str, bytes] = {}
        for line in self._lines:
            row = line.values.copy()
            for place, text in line.texts:
                row[place] = text % new
            for place, text, where, seal in line.seals:
                plain = (text % new).encode()
                row[place] = seal(plain, place=where % row[0])
                if where.endswith(":raw"):
                    report_hashes[row[0]] = hashlib.sha256(plain).digest()
            rows[line.table].append(row)
        self._number(rows, position)
        self._prove(rows, new, report_hashes)

    def _number(self, rows: dict[str, list[Values]], position: int) -> None:
        place = self._places["event", "position"]
        for number, row in enumerate(rows["event"][-self.events :], start=position + 1):
            row[place] = number

    def _prove(
        self, rows: dict[str, list[Values]], new: Names, report_hashes: Mapping[str, bytes]
    ) -> None:
        """Write what follows from the copy's names: hashes of its reports, chain and page."""
        places = self._places
        for row in rows["vipps_event"][-len(report_hashes) :]:
            row[places["vipps_event", "raw_hash"]] = report_hashes[row[0]]
        chain = rows["transition"][-len(self._transitions) :]
        head = GENESIS
        for typed, row in zip(self._transitions, chain, strict=True):
            full = {name: new.get(v, v) if isinstance(v, str) else v for name, v in typed.items()}
            full["evidence_hash"] = report_hashes.get(full["evidence_id"])
            full["previous_hash"] = head
            full["hash"] = head = transition_hash(full)
            for name in ("evidence_hash", "previous_hash", "hash"):
                row[places["transition", name]] = full[name]
        invoice = rows["invoice"][-1]
        invoice[places["invoice", "head_hash"]] = head
        invoice[places["invoice", "page_lookup"]] = page_lookup(new[self.token])


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


def _report(context: Context, reference: str, name: str) -> str:
    """Take in a webhook as the receiver does once it is verified; return the invoice's id."""
    body = a_body(name, reference, f"{len(name):032}", datetime.now(UTC))
    now = context.clock.business_now()
    report = Received(new_id("vev"), MSN, "webhook", body, now, parse(body), _HEADERS)
    outcomes = write(context, lambda book: record(book, [report]))
    assert outcomes == [Outcome.APPLIED]
    with context.database.snapshot() as session:
        named = sa.select(col(Invoice.id)).where(col(Invoice.reference) == reference)
        return str(session.execute(named).scalar_one())


def _transitions_of(context: Context, invoice_id: str) -> list[dict[str, Any]]:
    chain = (
        sa.select(*table_of(Transition).c)
        .where(col(Transition.invoice_id) == invoice_id)
        .order_by(col(Transition.sequence))
    )
    with context.database.snapshot() as session:
        return [dict(row._mapping) for row in session.execute(chain)]


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
    _report(context, _REFERENCE, "CREATED")
    now = context.clock.business_now()
    with context.database.transaction() as session:
        settled = {"status": "done", "attempts": 1, "settled_at": now}
        session.execute(sa.update(Command).values(settled))
    with context.database.snapshot() as session:
        invoice = session.get(Invoice, made.id)
    assert invoice is not None and invoice.state == "pushed"
    return invoice
