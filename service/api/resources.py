"""Invoices as merchants see them: read with their payments and customers, few statements."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import sqlalchemy as sa
from sqlmodel import Session, col

from service.api.answers import Answer, json_answer
from service.api.conditions import invoice_etag
from service.context import Context
from service.ledger.people import open_person
from service.ledger.resource import invoice_resource
from service.shapes.invoices import InvoiceCustomer, InvoiceResource
from service.store.tables import Customer, Invoice, InvoiceRecord, Payment, PaymentRecord
from service.vault import Vault


def invoice_answer(
    session: Session,
    context: Context,
    invoice: InvoiceRecord,
    payments: Sequence[PaymentRecord],
    *,
    status: int,
) -> Answer:
    """Return an invoice, as it is in this transaction, as an answer with its ETag."""
    customer = session.get(Customer, invoice.customer_id) if invoice.customer_id else None
    resource = _resource(context, invoice, payments, customer)
    headers = {"ETag": invoice_etag(invoice, customer)}
    if status == 201:
        headers["Location"] = f"/v1/invoices/{invoice.reference}"
    answer = json_answer(resource, status=status, headers=headers)
    return replace(answer, customer_id=customer.id) if customer else answer


def stored_invoice_answer(
    session: Session, context: Context, invoice: Invoice, *, status: int
) -> Answer:
    """Return a stored invoice as an answer."""
    payments = _payments(session, [invoice.id])
    return invoice_answer(session, context, invoice, payments, status=status)


def invoice_resources(
    session: Session, context: Context, invoices: Sequence[Invoice]
) -> list[InvoiceResource]:
    """Return many invoices, in the order given."""
    chains: dict[str, list[Payment]] = {invoice.id: [] for invoice in invoices}
    for payment in _payments(session, list(chains)):
        chains[payment.invoice_id].append(payment)
    ids = {invoice.customer_id for invoice in invoices}
    found = session.scalars(sa.select(Customer).where(col(Customer.id).in_(ids)))
    customers = {customer.id: customer for customer in found}
    return [
        _resource(context, invoice, chains[invoice.id], customers.get(invoice.customer_id or ""))
        for invoice in invoices
    ]


def _payments(session: Session, invoice_ids: Sequence[str]) -> Sequence[Payment]:
    chain = sa.select(Payment).where(col(Payment.invoice_id).in_(invoice_ids))
    return session.scalars(chain.order_by(col(Payment.invoice_id), col(Payment.attempt))).all()


def _resource(
    context: Context,
    invoice: InvoiceRecord,
    payments: Sequence[PaymentRecord],
    customer: Customer | None,
) -> InvoiceResource:
    shown = invoice_resource(
        invoice,
        payments,
        vault=context.vault,
        base_url=context.settings.base_url,
        customer=cast(dict[str, Any] | None, _customer(customer, context.vault)),
    )
    return cast(InvoiceResource, shown)


def _customer(customer: Customer | None, vault: Vault) -> InvoiceCustomer | None:
    if customer is None:
        return None
    person = open_person(customer, vault)
    return {
        "id": customer.id,
        "phoneNumber": person.phone_number if person else None,
        "name": person.name if person else None,
    }
