"""A read of a payment, taken in: new log entries, confirmations, sums, automatic capture."""

from collections.abc import Iterable, Sequence

import sqlalchemy as sa

from service.ids import new_id
from service.kinds import CommandKind
from service.ledger.book import Book
from service.ledger.received import Key, Received
from service.ledger.record import record
from service.ledger.resource import amounts_of
from service.store.inserts import table_of
from service.store.tables import (
    Command,
    CommandStatus,
    InvoiceRecord,
    PaymentRecord,
    StoredVippsEvent,
    Transition,
)
from service.vipps.reading import EventLog, LogEntry, PaymentSnapshot
from statemachine import Outcome, State, VippsEventName
from webhooks.vipps_event import event_key

# Webhooks may overtake a read, so that our sums are ahead of it for a moment: only a
# difference that a second read still shows is one.
READ_AGAIN_S = 5.0
DRIFTING_READS = 2


def take_in(
    book: Book,
    invoice: InvoiceRecord,
    payment: PaymentRecord,
    log: EventLog,
    snapshot: PaymentSnapshot,
) -> None:
    """Bring an invoice to where Vipps's own log is, and confirm what it says too."""
    stored = _stored(book, payment)
    fresh = [entry for entry in log.entries if _said(entry) not in stored]
    record(book, [_received(book, payment.msn, entry) for entry in fresh])
    _confirm(book, invoice, payment, {event_key(entry.event) for entry in log.entries})
    _take_snapshot(book, invoice, payment, snapshot)
    _compare_sums(book, invoice, payment, snapshot)
    _capture_automatically(book, invoice, payment, log)


_Said = tuple[Key, int, bool]


def _said(entry: LogEntry) -> _Said:
    return event_key(entry.event), entry.event.amount_minor, entry.event.success


def _stored(book: Book, payment: PaymentRecord) -> set[_Said]:
    """Return what was said of the payment already; another copy would tell nothing new."""
    column = table_of(StoredVippsEvent).c
    of_payment = sa.select(
        column.name, column.psp_reference, column.amount_minor, column.success
    ).where(column.msn == payment.msn, column.reference == payment.reference)
    rows = book.session.execute(of_payment.where(column.outcome != Outcome.UNMATCHED))
    return {
        ((payment.msn, payment.reference, row.name, row.psp_reference), *row[2:]) for row in rows
    }


def _received(book: Book, msn: str, entry: LogEntry) -> Received:
    return Received(
        id=new_id("vev"),
        msn=msn,
        source="poll",
        raw=entry.raw,
        received_at=book.now,
        report=entry.event,
    )


def _confirm(
    book: Book, invoice: InvoiceRecord, payment: PaymentRecord, keys: Iterable[Key]
) -> None:
    """Note that a read agrees with what webhooks, or an answer, moved before."""
    logged = set(keys)
    column = table_of(StoredVippsEvent).c
    applied = sa.select(column.id, column.name, column.psp_reference).where(
        column.payment_id == payment.id, column.outcome == Outcome.APPLIED
    )
    for row in book.session.execute(applied):
        key = (payment.msn, payment.reference, row.name, row.psp_reference)
        if key in logged:
            book.rows.confirmed.append({"key": row.id, "at": book.now})
    if any(name == VippsEventName.CREATED for _, _, name, _ in logged):
        book.session.execute(_confirm_push(invoice, payment, book))


def _confirm_push(invoice: InvoiceRecord, payment: PaymentRecord, book: Book) -> sa.Update:
    """Confirm the push that Vipps's answer made; its evidence is the command, not an event."""
    table = table_of(Transition)
    return (
        sa.update(table)
        .where(
            table.c.invoice_id == invoice.id,
            table.c.payment_reference == payment.reference,
            table.c.source == "response",
            table.c.confirmed_at.is_(None),
        )
        .values(confirmed_at=book.now)
    )


def _take_snapshot(
    book: Book, invoice: InvoiceRecord, payment: PaymentRecord, snapshot: PaymentSnapshot
) -> None:
    if payment.psp_reference != snapshot.psp_reference:
        payment.psp_reference = snapshot.psp_reference
        book.touch(invoice, payment)
    until = snapshot.capture_guaranteed_until
    if invoice.authorized_by == payment.id and invoice.capture_guaranteed_until != until:
        invoice.capture_guaranteed_until = until
        book.touch(invoice)


def _compare_sums(
    book: Book, invoice: InvoiceRecord, payment: PaymentRecord, snapshot: PaymentSnapshot
) -> None:
    if sums_agree(payment, snapshot):
        if payment.drifting_reads:
            payment.drifting_reads = 0
            book.rows.payments[payment.id] = payment
        return
    payment.drifting_reads += 1
    book.plan_read(payment, after_s=READ_AGAIN_S * payment.drifting_reads)
    if payment.drifting_reads == DRIFTING_READS:
        book.tell(invoice, "invoice.needs_attention", "aggregate_differs")


def sums_agree(payment: PaymentRecord, snapshot: PaymentSnapshot) -> bool:
    """Tell whether Vipps's `aggregate` is the sum of the events that we have applied."""
    ours = amounts_of(payment)
    return (ours.authorized, ours.captured, ours.refunded, ours.cancelled) == (
        snapshot.authorized_minor,
        snapshot.captured_minor,
        snapshot.refunded_minor,
        snapshot.cancelled_minor,
    )


def _capture_automatically(
    book: Book, invoice: InvoiceRecord, payment: PaymentRecord, log: EventLog
) -> None:
    """Take the money once a read has confirmed that it is reserved (contract, section 4)."""
    wanted = (
        invoice.capture == "automatic"
        and invoice.state == State.AUTHORIZED
        and invoice.authorized_by == payment.id
        and not invoice.automatic_capture_off
        and invoice.paid_elsewhere is None
        and payment.drifting_reads == 0
    )
    is_logged = any(e.event.name == VippsEventName.AUTHORIZED for e in log.entries)
    if wanted and is_logged and not _was_asked_for_money(book, payment):
        book.plan(payment, CommandKind.CAPTURE, amount_minor=invoice.authorized_minor)


def _was_asked_for_money(book: Book, payment: PaymentRecord) -> bool:
    """Tell whether a capture or release of this payment was ever decided."""
    planned: Sequence[str] = [
        row["kind"] for row in book.rows.commands if row["payment_id"] == payment.id
    ]
    if CommandKind.CAPTURE in planned or CommandKind.CANCEL_PAYMENT in planned:
        return True
    column = table_of(Command).c
    earlier = sa.select(column.id).where(
        column.payment_id == payment.id,
        column.kind.in_((CommandKind.CAPTURE, CommandKind.CANCEL_PAYMENT)),
        # A withdrawal that came too late for the customer's approval took no money.
        column.status.in_((CommandStatus.WAITING, CommandStatus.RUNNING))
        | (column.kind == CommandKind.CAPTURE),
    )
    return book.session.execute(earlier.limit(1)).first() is not None
