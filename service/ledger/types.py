"""The values that come into the ledger, already checked for shape."""

from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class NewInvoice:
    """A merchant's request for an invoice, after validation of its fields.

    `terms` holds what is kept as it came: kid, orderLines, documentUrl, returnUrl,
    metadata, replaces, push. `creation_hash` is SHA-256 over the validated request
    without defaults: the same reference again must carry the same."""

    amount_minor: int
    currency: str
    creation_hash: bytes
    reference: str | None = None
    customer_id: str | None = None
    phone_number: str | None = field(default=None, repr=False)
    customer_name: str | None = field(default=None, repr=False)
    description: str | None = None
    due_date: date | None = None
    payable_until: datetime | None = None
    flow: str = "PUSH_MESSAGE"
    capture: str = "manual"
    push: bool = True
    terms: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ask:
    """One thing that a person or a merchant's system asks of an invoice.

    `actor` names the API key or user; `amount_minor` None means all that remains."""

    actor: str
    source: str = "api"
    amount_minor: int | None = None
    currency: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """Why a transition happens: the stored fact behind it."""

    source: str
    id: str
    occurred_at: datetime
    hash: bytes | None = None
    confirmed_at: datetime | None = None
    amount_minor: int | None = None  # None: the invoice's own
    payment_reference: str | None = None
    actor: str | None = None
    reason: str | None = None
