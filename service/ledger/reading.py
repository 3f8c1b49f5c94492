"""A read of a payment, taken in: new log entries, confirmations, sums, automatic capture."""

from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from service.ids import new_id
from service.kinds import CommandKind
from service.ledger.book import Book
from service.ledger.elsewhere import refund_what_came_too_late
from service.ledger.received import Received
from service.ledger.record import record
from service.ledger.resource import amounts_of
from service.ledger.returning import dismiss_who_came_back
from service.ledger.sharing import Told, take_in_payer, told_by_vipps, wait_for_number
from service.ledger.stored import key_of, said_of
from service.ledger.types import Evidence
from service.store.inserts import table_of
from service.store.tables import Command, InvoiceRecord, PaymentRecord, Transition
from service.vipps.reading import EventLog, LogEntry, PaymentSnapshot
from service.vipps.reading import PaymentState as VippsState
from statemachine import Outcome, PaymentState, State, Trigger, VippsEventName
from webhooks.vipps_event import event_key

# Webhooks may overtake a read, so that our sums are ahead of it for a moment: only a
# difference that a second read still shows is one.
READ_AGAIN_S = 5.0
DRIFTING_READS = 2

# The evidence of a push that Vipps's answer made is the command, not an event. Built once: it is
# part of every read.
_transition = table_of(Transition)
_CONFIRM_PUSH = (
    sa.update(_transition)
    .where(
        _transition.c.invoice_id == sa.bindparam("invoice"),
        _transition.c.payment_reference == sa.bindparam("payment"),
        _transition.c.source == "response",
        _transition.c.confirmed_at.is_(None),
    )
    .values(confirmed_at=sa.bindparam("at"))
)


def take_in(
    book: Book,
    invoice: InvoiceRecord,
    payment: PaymentRecord,
    log: EventLog,
    snapshot: PaymentSnapshot,
    *,
    read_id: str,
    userinfo: Told | None = None,
) -> None:
    """Bring an invoice to where Vipps's own log is, and confirm what it says too.

    `read_id` names the command that read: the evidence of what is inferred from it. `userinfo` is
    what Vipps told of who paid where the payment itself does not."""
    book.stored.load([payment])
    # Another copy of what was said already would tell nothing new.
    said = {said_of(row) for row in book.stored.of(payment)}
    fresh = [entry for entry in log.entries if _said(entry) not in said]
    if snapshot.state == VippsState.AUTHORIZED:
        told = userinfo or told_by_vipps(snapshot.sub, snapshot.user_details)
        take_in_payer(book, invoice, payment, told)
    record(book, [_received(book, payment.msn, entry) for entry in fresh])
    wait_for_number(book, invoice, payment)
    _confirm(book, invoice, payment, log)
    _take_snapshot(book, invoice, payment, snapshot)
    _compare_sums(book, invoice, payment, snapshot)
    dismiss_who_came_back(book, invoice, payment, snapshot, read_id=read_id)
    _infer_dismissal(book, invoice, payment, snapshot, read_id)
    if any(entry.event.name == VippsEventName.AUTHORIZED for entry in log.entries):
        _release_what_came_too_late(book, invoice, payment)
        _capture_automatically(book, invoice, payment)
    if invoice.paid_elsewhere is not None and invoice.authorized_by == payment.id:
        refund_what_came_too_late(book, invoice, payment)


def _said(entry: LogEntry) -> tuple[Any, ...]:
    return event_key(entry.event), entry.event.amount_minor, entry.event.success


def _received(book: Book, msn: str, entry: LogEntry) -> Received:
    return Received(
        id=new_id("vev"),
        msn=msn,
        source="poll",
        raw=entry.raw,
        received_at=book.now,
        report=entry.event,
        cause=book.cause,
    )


def _confirm(book: Book, invoice: InvoiceRecord, payment: PaymentRecord, log: EventLog) -> None:
    """Note that a read agrees with what webhooks, or an answer, moved before."""
    logged = {event_key(entry.event) for entry in log.entries}
    applied = [
        row
        for row in book.stored.of(payment)
        if row["source"] == "webhook" and row["outcome"] == Outcome.APPLIED
    ]
    confirmed = [row for row in applied if key_of(row) in logged]
    book.rows.confirmed.extend({"key": row["id"], "at": book.now} for row in confirmed)
    if payment.unconfirmed_since is not None and len(confirmed) == len(applied):
        payment.unconfirmed_since = None
        book.rows.payments[payment.id] = payment
        book.reschedule(invoice)
    if any(name == VippsEventName.CREATED for _, _, name, _ in logged):
        pushed = {"invoice": invoice.id, "payment": payment.reference, "at": book.now}
        book.session.execute(_CONFIRM_PUSH, pushed)


def _infer_dismissal(
    book: Book,
    invoice: InvoiceRecord,
    payment: PaymentRecord,
    snapshot: PaymentSnapshot,
    read_id: str,
) -> None:
    """Call it postponed where Vipps says that the customer has not acted for long enough.

    Vipps tells nothing of "I'll pay later" (facts, section 2), so this is our label, its
    source `inference`; every outcome stays possible."""
    is_silent = snapshot.state == VippsState.CREATED and payment.state == PaymentState.CREATED
    after_s = book.sales_unit(invoice.msn).soft_dismiss_after_s
    if (
        invoice.state == State.PUSHED
        and is_silent
        and book.payments(invoice)[-1] is payment
        and book.now >= payment.created_at + timedelta(seconds=after_s)
    ):
        evidence = Evidence(
            source="inference",
            id=read_id,
            occurred_at=book.now,
            confirmed_at=book.now,
            payment_reference=payment.reference,
        )
        book.move(invoice, book.decide(invoice, Trigger.SOFT_DISMISS), evidence)


def _take_snapshot(
    book: Book, invoice: InvoiceRecord, payment: PaymentRecord, snapshot: PaymentSnapshot
) -> None:
    if payment.psp_reference != snapshot.psp_reference:
        payment.psp_reference = snapshot.psp_reference
        book.touch(invoice, payment)
    if payment.redirect_url is None and snapshot.redirect_url is not None:
        # The answer to create was lost, or the payment adopted: the page needs it to go on.
        place = f"payment:{payment.id}:redirect_url"
        payment.redirect_url = book.vault.seal(snapshot.redirect_url.encode(), place=place)
        book.touch(invoice, payment)
    until = snapshot.capture_guaranteed_until
    # Once known it is kept, also where a later answer leaves it out.
    is_told = until is not None and invoice.authorized_by == payment.id
    if is_told and invoice.capture_guaranteed_until != until:
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


def _release_what_came_too_late(book: Book, invoice: InvoiceRecord, payment: PaymentRecord) -> None:
    """Give free what is reserved although nobody wants it: a read has now confirmed it.

    Either the invoice was being withdrawn when the customer approved, or it was closed."""
    if invoice.authorized_by == payment.id:
        if invoice.closing is None:
            return
        act_id, invoice.closing = invoice.closing, None
        book.touch(invoice)
    elif payment.state != PaymentState.AUTHORIZED:
        return
    else:
        act_id = None
    has_rest = amounts_of(payment).remaining_to_capture > 0
    if has_rest and not _was_ever_decided(book, payment, CommandKind.CANCEL_PAYMENT):
        book.plan(payment, CommandKind.CANCEL_PAYMENT, act_id=act_id)


def _capture_automatically(book: Book, invoice: InvoiceRecord, payment: PaymentRecord) -> None:
    """Take the money once a read has confirmed that it is reserved (contract, section 4)."""
    wanted = (
        invoice.capture == "automatic"
        and invoice.state == State.AUTHORIZED
        and invoice.authorized_by == payment.id
        and not invoice.automatic_capture_off
        and invoice.paid_elsewhere is None
        and payment.drifting_reads == 0
    )
    decided = (CommandKind.CAPTURE, CommandKind.CANCEL_PAYMENT)
    if wanted and not _was_ever_decided(book, payment, *decided):
        book.plan(payment, CommandKind.CAPTURE, amount_minor=invoice.authorized_minor)


def _was_ever_decided(book: Book, payment: PaymentRecord, *kinds: CommandKind) -> bool:
    """Tell whether the money of this payment was decided about before, in one of these ways.

    A withdrawal, which has a body, is no release: it takes nothing that is reserved."""
    if any(
        row["payment_id"] == payment.id and row["kind"] in kinds and row["body"] is None
        for row in book.rows.commands
    ):
        return True
    column = table_of(Command).c
    earlier = sa.select(column.id).where(
        column.payment_id == payment.id, column.kind.in_(kinds), column.body.is_(None)
    )
    return book.session.execute(earlier.limit(1)).first() is not None
