"""The invoices that a transaction is about: loaded, and locked, with their payments.

Locks are taken in one order everywhere: invoices by id, then the feed.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, col

from service.errors import NotFound, Recovering
from service.store.inserts import table_of
from service.store.statements import Selection
from service.store.tables import (
    LIVE_PAYMENT_STATES,
    Invoice,
    InvoiceRecord,
    Payment,
    PaymentRecord,
    SalesUnit,
)

_invoice, _payment = table_of(Invoice).c, table_of(Payment).c
_unit = table_of(SalesUnit).c
_UNIT = Selection(tuple(_unit), key=_unit.msn)
_LOCKED = Selection(tuple(_invoice), key=_invoice.id, sort=_invoice.id, is_locked=True)
_NAMED = Selection((_invoice.id,), key=_invoice.reference, equal=(_invoice.msn,))
_CHAIN = Selection(tuple(_payment), key=_payment.invoice_id, sort=_payment.attempt)


class Loaded:
    """Rows as values, each loaded once: what is changed here is read here."""

    def __init__(self, session: Session) -> None:
        """Start empty; `load` brings rows in."""
        self.session = session
        self._invoices: dict[str, InvoiceRecord] = {}
        self._payments: dict[str, list[PaymentRecord]] = {}
        self._as_loaded: dict[str, dict[str, Any]] = {}  # of both, by id
        self._sales_units: dict[str, SalesUnit] = {}

    def load(self, ids: Iterable[str]) -> None:
        """Load and lock these invoices with their payments, in the order of their ids."""
        missing = sorted(set(ids) - self._invoices.keys())
        if not missing:
            return
        for row in _LOCKED.rows(self.session, missing):
            self._as_loaded[row["id"]] = row.copy()
            self._invoices[row["id"]] = InvoiceRecord.of(row)
            self._payments[row["id"]] = []
        for row in _CHAIN.rows(self.session, missing):
            self._as_loaded[row["id"]] = row.copy()
            self._payments[row["invoice_id"]].append(PaymentRecord.of(row))

    def changes(self, record: InvoiceRecord | PaymentRecord) -> dict[str, Any]:
        """Return the columns in which a loaded row differs from what was loaded."""
        before = self._as_loaded[record.id]
        now = record.values()
        return {name: value for name, value in now.items() if value != before[name]}

    def invoice_by_reference(self, msn: str, reference: str) -> InvoiceRecord:
        """Load and lock one invoice by its name. Raises: NotFound."""
        found = self.find(msn, reference)
        if found is None:
            raise NotFound("there is no invoice with this reference")
        self.load([found])
        return self._invoices[found]

    def find(self, msn: str, reference: str) -> str | None:
        """Return the id of the invoice with this reference, if there is one."""
        return next((row["id"] for row in _NAMED.rows(self.session, [reference], msn)), None)

    def state_of(self, invoice_id: str) -> str:
        """Return the state of an invoice that is neither loaded nor locked for it."""
        named = sa.select(col(Invoice.state)).where(col(Invoice.id) == invoice_id)
        return str(self.session.execute(named).scalar_one())

    def invoice(self, invoice_id: str) -> InvoiceRecord:
        """Return a loaded invoice."""
        return self._invoices[invoice_id]

    def payments(self, invoice: InvoiceRecord) -> list[PaymentRecord]:
        """Return the invoice's chain of payments, oldest first."""
        return self._payments[invoice.id]

    def payment(self, payment_id: str) -> tuple[InvoiceRecord, PaymentRecord]:
        """Load, lock and return a payment with its invoice. Raises: NotFound."""
        owner = sa.select(col(Payment.invoice_id)).where(col(Payment.id) == payment_id)
        invoice_id = self.session.execute(owner).scalar()
        if invoice_id is None:
            raise NotFound("there is no such payment")
        self.load([invoice_id])
        invoice = self._invoices[invoice_id]
        return invoice, next(p for p in self.payments(invoice) if p.id == payment_id)

    def require_recovered(self, msn: str) -> None:
        """Check that the books are what Vipps's are, as far as is known. Raises: Recovering."""
        if self.sales_unit(msn).recovering_since is not None:
            raise Recovering

    def sales_unit(self, msn: str) -> SalesUnit:
        """Return a sales unit with its policy. Raises: NotFound."""
        if msn not in self._sales_units:
            found = _UNIT.rows(self.session, [msn])
            if not found:
                raise NotFound(f"there is no sales unit {msn}")
            self._sales_units[msn] = SalesUnit(**found[0])
        return self._sales_units[msn]


def live_payment(payments: Sequence[PaymentRecord]) -> PaymentRecord | None:
    """Return the payment that the customer could still approve, if there is one."""
    return next((p for p in payments if p.state in LIVE_PAYMENT_STATES), None)
