"""An invoice that was paid another way: withdrawn, and what came too late given back.

The guard against double payments of contract section 6. From the call on nothing is captured
by itself, nobody is asked again, and money that arrives all the same goes back.
"""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlmodel import col

from service.errors import Conflict
from service.kinds import CommandKind
from service.ledger.acts import (
    authorizing_payment,
    release_rest,
    require,
)
from service.ledger.book import Book
from service.ledger.consequences import drop_untried_commands
from service.ledger.resource import amounts_of, rfc3339
from service.ledger.types import Ask
from service.ledger.under_way import total_minor, under_way
from service.ledger.withdrawing import withdraw
from service.store.tables import Command, CommandStatus, InvoiceRecord, PaymentRecord
from statemachine import State


@dataclass(frozen=True, slots=True)
class PaidElsewhere:
    """How and when it was paid; `is_refund_wanted`: give back what was captured before."""

    channel: str
    paid_at: datetime | None = None
    note: str | None = None
    is_refund_wanted: bool = False


def paid_elsewhere(book: Book, invoice: InvoiceRecord, ask: Ask, paid: PaidElsewhere) -> None:
    """Withdraw what is open, release what is reserved, refund what is captured.

    Raises: Conflict, also where money was captured before and its refund is not asked for."""
    require(book, invoice, "paid-elsewhere")
    amounts = amounts_of(invoice)
    if amounts.remaining_to_refund > 0 and not paid.is_refund_wanted:
        raise Conflict(
            "captured_already",
            'money was captured in Vipps before: "refund": true gives it back',
        )
    invoice.paid_elsewhere = {
        "channel": paid.channel,
        "paidAt": rfc3339(paid.paid_at),
        "note": paid.note,
        "recordedAt": rfc3339(book.now),
    }
    invoice.automatic_capture_off = True
    evidence = book.record_act(invoice, "paid-elsewhere", ask)
    book.touch(invoice)
    if State(invoice.state).is_payable:
        if invoice.closing is None:
            withdraw(book, invoice, evidence)
    elif amounts.remaining_to_capture > 0 or amounts.remaining_to_refund > 0:
        payment = authorizing_payment(book, invoice)
        # It would be captured only to be refunded.
        if drop_untried_commands(book, payment, CommandKind.CAPTURE):
            invoice.problem = None
        release_rest(book, invoice, evidence)
        _refund_rest(book, invoice, payment, act_id=evidence.id)
        book.tell(invoice, "invoice.double_payment_detected", "paid_before_elsewhere")


def refund_what_came_too_late(book: Book, invoice: InvoiceRecord, payment: PaymentRecord) -> None:
    """Decide to give back what was captured after the invoice was paid elsewhere.

    Once Vipps has refused, only a person tries again."""
    if not _was_last_refused(book, payment):
        _refund_rest(book, invoice, payment)


def _refund_rest(
    book: Book, invoice: InvoiceRecord, payment: PaymentRecord, *, act_id: str | None = None
) -> None:
    """Decide to give back what is captured and not being given back already."""
    asked_for = total_minor(under_way(book, invoice), CommandKind.REFUND)
    planned = sum(
        row["amount_minor"]
        for row in book.rows.commands
        if row["payment_id"] == payment.id and row["kind"] == CommandKind.REFUND
    )
    rest = amounts_of(payment).remaining_to_refund - asked_for - planned
    if rest > 0:
        book.plan(payment, CommandKind.REFUND, amount_minor=rest, act_id=act_id)


def _was_last_refused(book: Book, payment: PaymentRecord) -> bool:
    refunds = sa.select(col(Command.status)).where(
        col(Command.payment_id) == payment.id, col(Command.kind) == CommandKind.REFUND
    )
    last = book.session.execute(refunds.order_by(col(Command.number).desc()).limit(1)).scalar()
    return last == CommandStatus.FAILED
