"""`ETag` and `If-Match`: nobody acts on a state that they have not seen."""

import hashlib
from collections.abc import Mapping
from typing import Any

import orjson

from service.errors import PreconditionFailed
from service.store.tables import Customer, InvoiceRecord


def invoice_etag(invoice: InvoiceRecord, customer: Customer | None) -> str:
    """Return the invoice's strong ETag: it moves with every visible change.

    The customer is shown within and changes by itself: a later invoice may name them anew."""
    if customer is None:
        return f'"{invoice.version}"'
    return f'"{invoice.version}-{int(customer.updated_at.timestamp() * 1000):x}"'


def content_etag(resource: Mapping[str, Any]) -> str:
    """Return a strong ETag of something that keeps no version: a hash of what is shown."""
    return f'"{hashlib.sha256(orjson.dumps(resource)).hexdigest()[:32]}"'


def require_match(if_match: str | None, etag: str | None) -> None:
    """Check `If-Match` against what is there now; `etag` None: there is no such version.

    Weak tags never match (RFC 9110, 13.1.1). Raises: PreconditionFailed."""
    if if_match is None or if_match.strip() == "*":
        return
    if etag not in [tag.strip() for tag in if_match.split(",")]:
        raise PreconditionFailed
