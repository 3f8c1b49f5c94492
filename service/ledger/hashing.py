"""The hash chain of an invoice's transitions: a changed, missing or inserted row shows."""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson

from service.store.instants import instant_text

# What `create` links back to: a first row can't be cut off unnoticed.
GENESIS = bytes(32)

# Everything but `confirmed_at`, which a later read fills in, and the hash itself.
_HASHED = (
    "invoice_id",
    "sequence",
    "from_state",
    "to_state",
    "trigger",
    "source",
    "evidence_id",
    "evidence_hash",
    "occurred_at",
    "recorded_at",
    "amount_minor",
    "currency",
    "payment_reference",
    "actor",
    "reason",
    "previous_hash",
)


def transition_hash(row: Mapping[str, Any]) -> bytes:
    """Return SHA-256 over the row's values as one JSON array, in a fixed order.

    Bytes enter as hex, instants as ISO 8601 in UTC with microseconds."""
    return hashlib.sha256(orjson.dumps([_plain(row[name]) for name in _HASHED])).digest()


def _plain(value: Any) -> Any:
    kind = type(value)
    if kind is datetime:
        return instant_text(value)
    if kind is bytes or kind is memoryview:
        return value.hex()
    return value
