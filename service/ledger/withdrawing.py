"""Withdrawing an invoice before anybody has paid it."""

import sqlalchemy as sa
from sqlmodel import col

from service.kinds import CommandKind
from service.ledger.book import Book, live_payment
from service.ledger.consequences import close_if_nothing_lives, withdraw_live
from service.ledger.types import Evidence
from service.store.tables import Command, CommandStatus, InvoiceRecord, PaymentRecord
from statemachine import PaymentState


def withdraw(book: Book, invoice: InvoiceRecord, evidence: Evidence) -> None:
    """Start to terminate; it is done at once where Vipps holds nothing of it."""
    invoice.closing = evidence.id
    book.touch(invoice)
    live = live_payment(book.payments(invoice))
    if live is not None and _was_never_tried(book, live):
        live.state = PaymentState.REFUSED
        book.touch(invoice, live)
    close_if_nothing_lives(book, invoice)
    if invoice.closing is not None and (live is None or live.replacement_flow is None):
        withdraw_live(book, invoice, act_id=evidence.id)


def _was_never_tried(book: Book, payment: PaymentRecord) -> bool:
    """Drop a request that no worker has begun; False where Vipps may know of it."""
    if payment.state != PaymentState.REQUESTED:
        return False
    untried = sa.update(Command).where(
        col(Command.payment_id) == payment.id,
        col(Command.status) == CommandStatus.WAITING,
        col(Command.attempts) == 0,
    )
    drop = untried.values(status=CommandStatus.DROPPED, settled_at=book.real_now)
    create = drop.where(col(Command.kind) == CommandKind.CREATE_PAYMENT)
    if book.session.execute(create.returning(col(Command.id))).first() is None:
        return False
    book.session.execute(drop)  # what would have gone with it
    return True
