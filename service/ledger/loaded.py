"""The invoices that a transaction is about: loaded, and locked, with their payments.

Locks are taken in one order everywhere: invoices by id, then the feed.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, col

from service.errors import NotFound
from service.store.tables import Invoice, InvoiceRecord, Payment, PaymentRecord, SalesUnit
from statemachine import PaymentState

LIVE_PAYMENT_STATES = (PaymentState.REQUESTED, PaymentState.CREATED)


class Loaded:
    """Rows as values, each loaded once: what is changed here is read here."""

    def __init__(self, session: Session) -> None:
        """Start empty; `load` brings rows in."""
        self.session = session
        self._invoices: dict[str, InvoiceRecord] = {}
        self._payments: dict[str, list[PaymentRecord]] = {}

    def load(self, ids: Iterable[str]) -> None:
        """Load and lock these invoices with their payments, in the order of their ids."""
        missing = sorted(set(ids) - self._invoices.keys())
        if not missing:
            return
        locked = sa.select(Invoice).where(col(Invoice.id).in_(missing)).order_by(col(Invoice.id))
        for row in self.session.execute(_columns(locked).with_for_update()):
            self._invoices[row.id] = InvoiceRecord.model_construct(**row._mapping)
            self._payments[row.id] = []
        chain = (
            sa.select(Payment)
            .where(col(Payment.invoice_id).in_(missing))
            .order_by(col(Payment.attempt))
        )
        for row in self.session.execute(_columns(chain)):
            payment = PaymentRecord.model_construct(**row._mapping)
            self._payments[payment.invoice_id].append(payment)

    def invoice_by_reference(self, msn: str, reference: str) -> InvoiceRecord:
        """Load and lock one invoice by its name. Raises: NotFound."""
        found = self.find(msn, reference)
        if found is None:
            raise NotFound("there is no invoice with this reference")
        self.load([found])
        return self._invoices[found]

    def find(self, msn: str, reference: str) -> str | None:
        """Return the id of the invoice with this reference, if there is one."""
        named = sa.select(col(Invoice.id)).where(
            col(Invoice.msn) == msn, col(Invoice.reference) == reference
        )
        return self.session.execute(named).scalar()

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

    def sales_unit(self, msn: str) -> SalesUnit:
        """Return a sales unit with its policy. Raises: NotFound."""
        unit = self.session.get(SalesUnit, msn)
        if unit is None:
            raise NotFound(f"there is no sales unit {msn}")
        return unit


def live_payment(payments: Sequence[PaymentRecord]) -> PaymentRecord | None:
    """Return the payment that the customer could still approve, if there is one."""
    return next((p for p in payments if p.state in LIVE_PAYMENT_STATES), None)


def _columns(statement: sa.Select[Any]) -> sa.Select[Any]:
    """Select the entity's columns as plain rows: the ORM's objects cost ten times more."""
    entity = statement.column_descriptions[0]["entity"]
    return statement.with_only_columns(*entity.__table__.c, maintain_column_froms=True)
