"""A merchant's body as the ledger's request for an invoice."""

import hashlib
from typing import Any

import orjson

from service.api.schemas import CustomerIn, InvoiceIn
from service.ledger.types import NewInvoice

# What the invoice keeps as it came.
_TERMS = ("kid", "orderLines", "documentUrl", "returnUrl", "metadata", "replaces")


def new_invoice(body: InvoiceIn) -> NewInvoice:
    """Return a checked body as the ledger takes it."""
    said = body.model_dump(mode="json", by_alias=True, exclude_none=True)
    customer = body.customer or CustomerIn()
    return NewInvoice(
        amount_minor=body.amount.value,
        currency=body.amount.currency,
        creation_hash=creation_hash(body),
        reference=body.reference,
        customer_id=customer.id,
        phone_number=customer.phone_number,
        customer_name=customer.name,
        description=body.description,
        due_date=body.due_date,
        payable_until=body.payable_until,
        flow=body.flow,
        capture=body.capture,
        push=body.push,
        terms={name: said[name] for name in _TERMS if name in said},
    )


def creation_hash(body: InvoiceIn) -> bytes:
    """Return SHA-256 over the body as canonical JSON, after validation, without defaults.

    So `+47 912 34 567` and 4791234567 are one request, and `"push": true` is no difference."""
    said: dict[str, Any] = body.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return hashlib.sha256(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).digest()
