"""A long life of one invoice in moments: it stays in one book for as long as nothing is sent.

`life` does each thing in a transaction of its own, as the service does. Here the same functions of
the ledger work on rows in memory, while a clock jumps from what is due to what is due next; rows
are written when a payment is asked for, since Vipps may tell of it from then on.
"""

from dataclasses import dataclass, field
from datetime import datetime

from service.ledger.agenda import next_at
from service.ledger.attending import attend
from service.ledger.book import Book
from service.ledger.reading import take_in
from service.ledger.record import record
from service.store.tables import InvoiceRecord, PaymentRecord
from tests.builders import MSN, REFERENCE, Desk, VippsPayment, received

# What is due more often than this is due without end.
_STEPS_MAX = 1000


@dataclass(slots=True)
class LongLife:
    """An invoice whose customer does nothing; `asked` and `reads` say when, of which payment."""

    desk: Desk
    currency: str
    vipps: dict[str, VippsPayment] = field(default_factory=dict)
    asked: list[tuple[datetime, str]] = field(default_factory=list)
    reads: list[tuple[datetime, str]] = field(default_factory=list)

    def until(self, end: datetime) -> None:
        """Let everything happen that is due until then, each at its time."""
        while self.desk.now() < end:
            self.desk.write(lambda book: self._until_sent(book, end))

    def _until_sent(self, book: Book, end: datetime) -> None:
        """Go from instant to instant until the end, or until something must be written."""
        invoice = book.invoice_by_reference(MSN, REFERENCE)
        self._make(book, invoice)
        for _ in range(_STEPS_MAX):
            at = self._next_at(book, invoice)
            self.desk.times.append(min(at or end, end))
            if at is None or at > end:
                return
            book.now = book.real_now = self.desk.now()
            self._lapse(book, invoice)
            self._attend(book, invoice)
            self._read(book, invoice)
            if book.rows.new_payments:
                return
        raise AssertionError("it never comes to rest")

    def _next_at(self, book: Book, invoice: InvoiceRecord) -> datetime | None:
        due = next_at(invoice, book.payments(invoice), book.sales_unit(MSN), book.now)
        ends = [p.ends_at for p in self._open(book, invoice)]
        reads = [read["next_attempt_at"] for read in book.rows.reads.values()]
        instants = [*reads, *ends, *([due] if due else [])]
        return max(min(instants), book.now) if instants else None

    def _open(self, book: Book, invoice: InvoiceRecord) -> list[PaymentRecord]:
        """Return the payments that can be approved at Vipps."""
        made = (p for p in book.payments(invoice) if p.reference in self.vipps)
        return [p for p in made if self.vipps[p.reference].state == "CREATED"]

    def _make(self, book: Book, invoice: InvoiceRecord) -> None:
        """Let Vipps make what was asked for, and tell of it."""
        for payment in book.payments(invoice):
            if payment.reference not in self.vipps:
                self.asked.append((book.now, payment.reference))
                vipps = VippsPayment(payment.reference, at=book.now, currency=self.currency)
                self.vipps[payment.reference] = vipps
                record(book, [received(vipps.happens("CREATED"), at=book.now)])

    def _lapse(self, book: Book, invoice: InvoiceRecord) -> None:
        """Let those payments run out at Vipps whose time has come; that webhook is lost."""
        for payment in self._open(book, invoice):
            if payment.ends_at <= book.now:
                self.vipps[payment.reference].at = book.now
                self.vipps[payment.reference].happens("EXPIRED")

    def _attend(self, book: Book, invoice: InvoiceRecord) -> None:
        due = next_at(invoice, book.payments(invoice), book.sales_unit(MSN), book.now)
        if due is not None and due <= book.now:
            attend(book, invoice)

    def _read(self, book: Book, invoice: InvoiceRecord) -> None:
        for payment in book.payments(invoice):
            waiting = book.rows.reads.get(payment.id)
            if waiting is None or waiting["next_attempt_at"] > book.now:
                continue
            read = book.rows.reads.pop(payment.id)
            self.reads.append((book.now, payment.reference))
            vipps = self.vipps[payment.reference]
            snapshot = vipps.snapshot(invoice.id)
            take_in(book, invoice, payment, vipps.log(), snapshot, read_id=read["id"])
