"""Doing what is due for an invoice because time has passed: contract section 2 and 4."""

from collections.abc import Callable, Mapping
from datetime import datetime

import sqlalchemy as sa
from sqlmodel import Session, col

from service.ledger.agenda import Due, What, agenda
from service.ledger.book import Book
from service.ledger.consequences import (
    ask_again,
    drop_untried,
    send_replacement,
    withdraw_live,
)
from service.ledger.loaded import live_payment
from service.ledger.types import Ask
from service.schedule.reads import spread_s
from service.store.tables import Invoice, InvoiceRecord
from statemachine import Trigger

# Whose act it is where nobody acted.
CLOCK = Ask(actor="clock", source="clock")


def attend(book: Book, invoice: InvoiceRecord) -> None:
    """Do what is due by now, and note when to look again."""
    unit = book.sales_unit(invoice.msn)
    for due in list(agenda(invoice, book.payments(invoice), unit, book.now)):
        if due.at <= book.now:
            _DO[due.what](book, invoice, due)
    book.reschedule(invoice)


def put_off(session: Session, invoice_id: str, until: datetime) -> None:
    """Have an invoice that can't be attended to looked at again later."""
    mine = sa.update(Invoice).where(col(Invoice.id) == invoice_id)
    session.execute(mine.values(attend_at=until))


def _read(book: Book, invoice: InvoiceRecord, due: Due) -> None:
    if book.now >= invoice.payable_until and drop_untried(book, invoice):
        return  # keys that were refused all the time: nothing was ever asked for
    _plan_read(book, due, after_s=0.0)


def _sweep(book: Book, invoice: InvoiceRecord, due: Due) -> None:
    name = due.payment.id if due.payment else ""
    _plan_read(book, due, after_s=spread_s(book.now - due.at, name))


def _plan_read(book: Book, due: Due, *, after_s: float) -> None:
    if due.payment is not None:
        due.payment.looked_at = book.now
        book.plan_read(due.payment, after_s=after_s)


def _push(book: Book, invoice: InvoiceRecord, due: Due) -> None:
    if due.is_asked_for:
        _push_as_asked(book, invoice)
        return
    # Where it can't be done (consent withdrawn) it is told once, and then left to people.
    is_asked = ask_again(book, invoice, user_flow="PUSH_MESSAGE")
    pushes_max = book.sales_unit(invoice.msn).max_pushes
    invoice.own_pushes = invoice.own_pushes + 1 if is_asked else pushes_max
    book.touch(invoice)


def _push_as_asked(book: Book, invoice: InvoiceRecord) -> None:
    """Ask as the customer wanted, once; a request that waits in the app gives way to it."""
    invoice.ask_on = None
    payments = book.payments(invoice)
    if payments:
        payments[-1].then_ask = False
        book.touch(invoice, payments[-1])
    live = live_payment(payments)
    if live is None:
        ask_again(book, invoice, user_flow="PUSH_MESSAGE")
    else:
        live.replacement_flow = "PUSH_MESSAGE"
        withdraw_live(book, invoice)
    book.touch(invoice)


def _expire(book: Book, invoice: InvoiceRecord, due: Due) -> None:
    evidence = book.record_act(invoice, "expire", CLOCK)
    book.move(invoice, book.decide(invoice, Trigger.EXPIRE, payment_may_live=False), evidence)
    send_replacement(book, invoice)


def _warn(book: Book, invoice: InvoiceRecord, due: Due) -> None:
    if due.percent <= invoice.warned_percent:
        return  # a later one was due at the same time, and says more
    invoice.warned_percent = due.percent
    book.tell(invoice, "invoice.needs_attention", f"capture_window_{due.percent}")


def _unconfirmed(book: Book, invoice: InvoiceRecord, due: Due) -> None:
    """Show that no read agrees with a webhook, once; the reads go on."""
    if due.payment is not None:
        due.payment.unconfirmed_since = None
        book.touch(invoice, due.payment)
    book.tell(invoice, "invoice.needs_attention", "unconfirmed")


_DO: Mapping[What, Callable[[Book, InvoiceRecord, Due], None]] = {
    What.READ: _read,
    What.SWEEP: _sweep,
    What.PUSH: _push,
    What.EXPIRE: _expire,
    What.WARN: _warn,
    What.UNCONFIRMED: _unconfirmed,
}
