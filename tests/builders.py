"""A service's inside for tests: its parts on a real database, and a Vipps that is only a log."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import orjson
import pytest
import sqlalchemy as sa
from sqlmodel import col, select

from service.clock import Clock
from service.context import Context
from service.ids import new_id
from service.ledger.book import Book, write
from service.ledger.invoices import create_invoice
from service.ledger.reading import take_in
from service.ledger.received import Received
from service.ledger.record import record
from service.ledger.types import Ask, NewInvoice
from service.settings import load_settings
from service.store.db import Database
from service.store.tables import (
    Command,
    Customer,
    Event,
    Invoice,
    InvoiceRecord,
    Payment,
    PaymentRecord,
    StoredVippsEvent,
    Transition,
)
from service.units import UnitValues, add_unit
from service.vault import open_vault
from service.vipps.reading import EventLog, PaymentSnapshot, read_log, read_payment
from service.wake import Wake
from statemachine import Outcome
from tests.event_contract import check_event
from webhooks.errors import MalformedEvent
from webhooks.vipps import authority_and_path, sign
from webhooks.vipps_event import parse

MSN, OTHER_MSN = "123456", "654321"
NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
PHONE = "4791234567"
REFERENCE = "acme-2026-000123"
AMOUNT = 200_000
SECRET = "c2VjcmV0LW9mLXRoZS10ZXN0"
BASE_URL = "http://127.0.0.1:8080"
THE_MERCHANT = Ask(actor="key_test")

ONLY_POSTGRESQL = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
ONLY_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

T = TypeVar("T")


def a_context(
    database: Database, *msns: str, times: list[datetime] | None = None, **environment: str
) -> Context:
    """Return what the composition root would hand out, with these sales units."""
    moments = times or [NOW]
    with database.transaction() as session:
        vault = open_vault(session, [b"k" * 32], now=NOW)
        for msn in msns or (MSN,):
            add_unit(session, vault, a_unit(msn), now=NOW)
    settings = load_settings({f"BETALBAR_{name}": text for name, text in environment.items()})
    return Context(settings, database, vault, Clock(real=lambda: moments[-1]), Wake())


def a_unit(msn: str = MSN, **changed: Any) -> UnitValues:
    """Return a sales unit with keys for Vipps."""
    values: dict[str, Any] = {
        "msn": msn,
        "name": "Acme",
        "organisation_number": "999999999",
        "contact_url": "https://acme.example/contact",
        "terms_of_sale_url": "https://acme.example/terms",
        "privacy_policy_url": "https://acme.example/privacy",
        "currency": "NOK",
        "client_id": "a-client",
        "client_secret": "a-client-secret",
        "subscription_key": "a-subscription-key",
    }
    return UnitValues(**{**values, **changed})


def an_invoice(**changed: Any) -> NewInvoice:
    """Return a valid request for an invoice, sent into the app."""
    values: dict[str, Any] = {
        "amount_minor": AMOUNT,
        "currency": "NOK",
        "creation_hash": b"h" * 32,
        "reference": REFERENCE,
        "phone_number": PHONE,
    }
    return NewInvoice(**{**values, **changed})


def a_vipps_event(name: str = "CREATED", **changed: Any) -> dict[str, Any]:
    """Return a Vipps event as a webhook's body says it."""
    event: dict[str, Any] = {
        "msn": MSN,
        "reference": REFERENCE,
        "pspReference": f"psp-{name}",
        "name": name,
        "amount": {"currency": "NOK", "value": AMOUNT},
        "timestamp": NOW.isoformat().replace("+00:00", "Z"),
        "success": True,
    }
    return {**event, **changed}


def nok(value: int) -> dict[str, Any]:
    """Return an amount in Vipps's shape."""
    return {"currency": "NOK", "value": value}


def received(body: bytes | dict[str, Any], *, msn: str = MSN, at: datetime = NOW) -> Received:
    """Return a body as the receiver hands it over once it is verified."""
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    try:
        report: Any = parse(raw)
    except MalformedEvent as error:
        report = error
    return Received(new_id("vev"), msn, "webhook", raw, at, report)


def signed_headers(
    body: bytes, *, msn: str = MSN, secret: str = SECRET, at: datetime = NOW, base: str = BASE_URL
) -> dict[str, str]:
    """Return the headers with which Vipps would post this body to us."""
    host, path = authority_and_path(f"{base}/webhooks/vipps/{msn}")
    return sign(method="POST", path_and_query=path, host=host, body=body, secret=secret, at=at)


@dataclass(slots=True)
class VippsPayment:
    """One payment as Vipps has it: its own log, its sums, and the webhooks it would send."""

    reference: str = REFERENCE
    msn: str = MSN
    amount_minor: int = AMOUNT
    at: datetime = NOW
    state: str = "CREATED"
    currency: str = "NOK"
    guaranteed_until: datetime | None = None
    told: dict[str, Any] = field(default_factory=dict)  # of who paid: profile, userDetails
    events: list[dict[str, Any]] = field(default_factory=list)

    def happens(self, *names: str, amount_minor: int | None = None, **changed: Any) -> bytes:
        """Let something happen; return the last event's webhook."""
        for name in names:
            event = a_vipps_event(
                name,
                reference=self.reference,
                pspReference=f"psp-{self.reference}-{len(self.events)}",
                timestamp=(self.at + timedelta(seconds=len(self.events))).isoformat(),
                amount=self.money(self.amount_minor if amount_minor is None else amount_minor),
                **changed,
            )
            del event["msn"]
            self.events.append(event)
            if name not in ("CAPTURED", "REFUNDED", "CANCELLED") and event["success"]:
                self.state = name
        return self.webhooks()[-1]

    def money(self, value: int) -> dict[str, Any]:
        """Return an amount in the payment's currency."""
        return {"currency": self.currency, "value": value}

    def webhooks(self) -> list[bytes]:
        """Return the bodies that Vipps would post, in their order."""
        return [orjson.dumps({"msn": self.msn, **event}) for event in self.events]

    def sums(self) -> tuple[int, int, int, int]:
        """Return authorized, captured, refunded, cancelled, as Vipps's aggregate has them."""
        done = [e for e in self.events if e["success"]]

        def total(*names: str) -> int:
            return sum(e["amount"]["value"] for e in done if e["name"] in names)

        return (
            total("AUTHORIZED"),
            total("CAPTURED"),
            total("REFUNDED"),
            total("CANCELLED", "TERMINATED"),
        )

    def log(self) -> EventLog:
        """Return what a read of the event log gives."""
        return read_log({"items": self.events}, self.msn)

    def body(self, invoice_id: str = "inv_unknown") -> dict[str, Any]:
        """Return what a read of the payment gives, as Vipps writes it."""
        names = ("authorizedAmount", "capturedAmount", "refundedAmount", "cancelledAmount")
        return {
            "reference": self.reference,
            "pspReference": f"psp-{self.reference}",
            "state": self.state,
            "amount": self.money(self.amount_minor),
            "aggregate": {n: self.money(v) for n, v in zip(names, self.sums(), strict=True)},
            "metadata": {"betalbar": invoice_id},
            "captureGuaranteedUntil": _text(self.guaranteed_until),
            **self.told,
        }

    def snapshot(self, invoice_id: str = "inv_unknown") -> PaymentSnapshot:
        """Return what a read of the payment gives."""
        return read_payment(self.body(invoice_id), BASE_URL)


def _text(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


@dataclass(slots=True)
class Desk:
    """The ledger of one service at work, and short ways to what tests need of it."""

    context: Context
    times: list[datetime]

    def now(self) -> datetime:
        """Return the service's time."""
        return self.times[-1]

    def later(self, **time: float) -> None:
        """Let time pass."""
        self.times.append(self.now() + timedelta(**time))

    def write(self, work: Callable[[Book], T]) -> T:
        """Run work on a book, in a transaction of its own."""
        return write(self.context, work)

    def create(self, **changed: Any) -> Invoice:
        """Create an invoice as the API would."""
        made = self.write(lambda b: create_invoice(b, MSN, an_invoice(**changed), THE_MERCHANT)[0])
        return self.invoice(made.reference)

    def act(
        self,
        act: Callable[[Book, InvoiceRecord, Ask], None],
        reference: str = REFERENCE,
        **ask: Any,
    ) -> None:
        """Ask something of an invoice."""
        asked = Ask(actor="key_test", **ask)
        self.write(lambda book: act(book, book.invoice_by_reference(MSN, reference), asked))

    def report(self, *bodies: bytes | dict[str, Any]) -> list[Outcome]:
        """Take in webhooks, one after the other; return what became of each."""
        return [self.report_at_once(body)[0] for body in bodies]

    def report_at_once(self, *bodies: bytes | dict[str, Any]) -> list[Outcome]:
        """Take in webhooks that share one transaction."""
        batch = [received(body, at=self.now()) for body in bodies]
        return self.write(lambda book: record(book, batch))

    def customer(self, phone_number: str = PHONE) -> Customer:
        """Return the customer with this number."""
        lookup = self.context.vault.phone_lookup(MSN, phone_number)
        found: Customer = self.all(Customer, Customer.phone_lookup == lookup)[0]
        return found

    def read(self, vipps: VippsPayment, *, read_id: str = "cmd") -> None:
        """Take in a read of a payment."""

        def work(book: Book) -> None:
            invoice, payment = book.payment(self.payment(vipps.reference).id)
            take_in(
                book, invoice, payment, vipps.log(), vipps.snapshot(invoice.id), read_id=read_id
            )

        self.write(work)

    def change(
        self, work: Callable[[Book, InvoiceRecord, PaymentRecord], T], reference: str = REFERENCE
    ) -> T:
        """Work on a payment and its invoice."""
        return self.write(lambda book: work(book, *book.payment(self.payment(reference).id)))

    def all(self, model: Any, *conditions: Any) -> Sequence[Any]:
        """Return every row of a table that fits, by its key."""
        with self.context.database.snapshot() as session:
            keys = sa.inspect(model).primary_key
            return session.exec(select(model).where(*conditions).order_by(*keys)).all()

    def invoice(self, reference: str = REFERENCE) -> Invoice:
        """Return an invoice as it is now."""
        found: Invoice = self.all(Invoice, Invoice.reference == reference)[0]
        return found

    def payment(self, reference: str = REFERENCE) -> Payment:
        """Return a payment as it is now."""
        found: Payment = self.all(Payment, Payment.reference == reference)[0]
        return found

    def history(self, reference: str | None = None) -> list[str]:
        """Return every transition as `trigger>state by source`, in their order."""
        of_one = (Transition.invoice_id == self.invoice(reference).id,) if reference else ()
        rows: Sequence[Transition] = self.all(Transition, *of_one)
        return [f"{r.trigger}>{r.to_state} by {r.source}" for r in rows]

    def outcomes(self) -> list[tuple[str, str]]:
        """Return what became of every stored Vipps event, and why, sorted."""
        rows: Sequence[StoredVippsEvent] = self.all(StoredVippsEvent)
        return sorted((row.outcome, row.reason or "") for row in rows)

    def told(self, *conditions: Any) -> list[dict[str, Any]]:
        """Return what merchants were told, in the feed's order, all or what fits."""
        rows: list[Event] = sorted(self.all(Event, *conditions), key=lambda row: row.position)
        place = "event:{}:payload".format
        vault = self.context.vault
        told = [orjson.loads(vault.open(row.payload, place=place(row.id))) for row in rows]
        for event in told:
            check_event(event)
        return told

    def told_types(self) -> list[str]:
        """Return the types of what merchants were told."""
        return [event["type"] for event in self.told()]

    def commands(self, *kinds: str) -> list[Command]:
        """Return the commands of these kinds, all but reads if none is named."""
        rows: Sequence[Command] = self.all(Command)
        wanted = [r for r in rows if r.kind in kinds or (not kinds and r.kind != "read_payment")]
        return sorted(wanted, key=lambda row: (row.payment_id, row.number))

    def settle_commands(self, status: str = "done") -> None:
        """Let every open command but reads be settled, as if Vipps had answered."""
        is_open = col(Command.status).in_(("waiting", "running"))
        is_act = col(Command.kind) != "read_payment"
        with self.context.database.transaction() as session:
            session.execute(sa.update(Command).where(is_open, is_act).values(status=status))


def a_desk(database: Database, *msns: str, **environment: str) -> Desk:
    """Return a ledger at work on this database."""
    times = [NOW]
    return Desk(a_context(database, *msns, times=times, **environment), times)


def a_pushed_desk(database: Database, **invoice: Any) -> tuple[Desk, VippsPayment]:
    """Return a ledger with one invoice that was pushed, and its payment at Vipps."""
    desk = a_desk(database)
    desk.create(**invoice)
    vipps = VippsPayment(amount_minor=invoice.get("amount_minor", AMOUNT))
    assert desk.report(vipps.happens("CREATED")) == [Outcome.APPLIED]
    desk.settle_commands()
    return desk, vipps


def an_authorized_desk(database: Database, **invoice: Any) -> tuple[Desk, VippsPayment]:
    """Return a ledger with one invoice that the customer has approved, confirmed by a read."""
    desk, vipps = a_pushed_desk(database, **invoice)
    assert desk.report(vipps.happens("AUTHORIZED")) == [Outcome.APPLIED]
    desk.read(vipps)
    return desk, vipps
