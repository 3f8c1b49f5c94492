"""Withdrawing an invoice before anybody has paid it."""

from service.ledger.book import Book
from service.ledger.consequences import close_if_nothing_lives, drop_untried, withdraw_live
from service.ledger.loaded import live_payment
from service.ledger.types import Evidence
from service.store.tables import InvoiceRecord


def withdraw(book: Book, invoice: InvoiceRecord, evidence: Evidence) -> None:
    """Start to terminate; it is done at once where Vipps holds nothing of it."""
    invoice.closing = evidence.id
    book.touch(invoice)
    live = live_payment(book.payments(invoice))
    drop_untried(book, invoice)
    close_if_nothing_lives(book, invoice)
    if invoice.closing is not None and (live is None or live.replacement_flow is None):
        withdraw_live(book, invoice, act_id=evidence.id)
