"""Finding what is behind a token, in one snapshot of the database."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlmodel import Session, col

from service.store.tables import Customer, Document, Invoice, Payment, SalesUnit
from service.vault.vault import page_lookup

# As the vault makes them; anything else is not looked for.
TOKEN = re.compile(r"[A-Za-z0-9_-]{24}")


@dataclass(frozen=True, slots=True)
class Found:
    """An invoice with all that its page shows."""

    invoice: Invoice
    payments: Sequence[Payment]
    unit: SalesUnit
    customer: Customer | None
    has_document: bool = False

    @property
    def version(self) -> str:
        """Return what changes whenever the page would show something else."""
        seen_at = self.customer.updated_at.isoformat() if self.customer else ""
        return f"{self.invoice.version}:{seen_at}"


def find(session: Session, token: str) -> Found | None:
    """Return the invoice whose page this is; None for a token that is nobody's."""
    invoice_id = find_id(session, token)
    if invoice_id is None:
        return None
    invoice = session.get_one(Invoice, invoice_id)
    chain = sa.select(Payment).where(col(Payment.invoice_id) == invoice.id)
    kept = sa.select(col(Document.id)).where(col(Document.invoice_id) == invoice.id)
    return Found(
        invoice,
        session.scalars(chain.order_by(col(Payment.attempt))).all(),
        session.get_one(SalesUnit, invoice.msn),
        session.get(Customer, invoice.customer_id) if invoice.customer_id else None,
        session.execute(kept).first() is not None,
    )


def find_id(session: Session, token: str) -> str | None:
    """Return the id of the invoice that a token opens."""
    if TOKEN.fullmatch(token) is None:
        return None
    named = sa.select(col(Invoice.id)).where(col(Invoice.page_lookup) == page_lookup(token))
    return session.execute(named).scalar()
