"""What comes in from Vipps, verified and parsed, and how it is laid before the machine."""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime

from service.ledger.book import Book
from service.ledger.resource import amounts_of
from service.ledger.stored import Row
from service.store.tables import InvoiceRecord, PaymentRecord
from statemachine import (
    InvoiceView,
    PaymentState,
    PaymentView,
    ReportedEvent,
    State,
    VippsEventName,
)
from webhooks.errors import MalformedEvent
from webhooks.vipps_event import VippsEvent


@dataclass(frozen=True, slots=True)
class Received:
    """One verified report: a webhook's body, or one entry of an event log.

    `msn` is the path's, or that of the sales unit which read. `report` is what the bytes
    say, or why they say nothing. `id` names the row that it becomes. `headers` is JSON, kept as
    evidence and not looked into; a read has none. `cause` goes on to all that follows from it."""

    id: str
    msn: str
    source: str
    raw: bytes = field(repr=False)
    received_at: datetime
    report: VippsEvent | MalformedEvent
    headers: bytes | None = field(default=None, repr=False)
    cause: str | None = None

    @property
    def raw_hash(self) -> bytes:
        """Return SHA-256 of the bytes as they came."""
        return hashlib.sha256(self.raw).digest()


def payment_view(book: Book, invoice: InvoiceRecord, payment: PaymentRecord) -> PaymentView:
    """Return the payment as the machine asks about it."""
    return PaymentView(
        state=PaymentState(payment.state),
        ends_at=payment.ends_at,
        amounts=amounts_of(payment),
        is_last=book.payments(invoice)[-1] is payment,
        is_authorizing=invoice.authorized_by == payment.id,
        has_pushed=payment.has_pushed,
        is_being_replaced=payment.replacement_flow is not None,
    )


def invoice_view(invoice: InvoiceRecord) -> InvoiceView:
    """Return the invoice as the machine asks about it."""
    return InvoiceView(
        state=State(invoice.state),
        amount_minor=invoice.amount_minor,
        currency=invoice.currency,
        payable_until=invoice.payable_until,
        amounts=amounts_of(invoice),
    )


def reported(row: Row) -> ReportedEvent:
    """Return a stored event's row as the machine asks about it."""
    return ReportedEvent(
        name=VippsEventName(row["name"]),
        amount_minor=row["amount_minor"],
        currency=row["currency"],
        success=row["success"],
        occurred_at=row["occurred_at"],
    )


def stored_row(received: Received, book: Book) -> Row:
    """Return the row that keeps the report, its outcome still open."""
    report = received.report
    row: Row = {
        "id": received.id,
        "msn": received.msn,
        "source": received.source,
        "received_at": received.received_at,
        "applied_at": None,
        "payment_id": None,
        "invoice_id": None,
        "reason": None,
        "raw": book.vault.seal(received.raw, place=f"vipps_event:{received.id}:raw"),
        "raw_hash": received.raw_hash,
        "headers": _sealed_headers(received, book),
    }
    said = report if isinstance(report, VippsEvent) else None
    for name in _SAID:
        row[name] = getattr(said, name, None)
    return row


def _sealed_headers(received: Received, book: Book) -> bytes | None:
    if received.headers is None:
        return None
    return book.vault.seal(received.headers, place=f"vipps_event:{received.id}:headers")


_SAID = (
    "reference",
    "name",
    "psp_reference",
    "amount_minor",
    "currency",
    "success",
    "occurred_at",
)
