"""A command's row, as it is when it is decided."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol

import orjson

from service.ids import new_id
from service.kinds import CommandKind
from service.store.tables import PaymentRecord


class Sealer(Protocol):
    """Anything that seals: the vault, or one customer's box."""

    def seal(self, plain: bytes, *, place: str) -> bytes:
        """Encrypt for one place."""


def new_command(
    payment: PaymentRecord, kind: CommandKind, *, now: datetime, after_s: float
) -> dict[str, Any]:
    """Return the row of the payment's next command; the payment counts it.

    Its id is its `Idempotency-Key` for ever (30 characters of Vipps's 50)."""
    payment.command_count += 1
    command_id = new_id("cmd")
    return {
        "id": command_id,
        "msn": payment.msn,
        "invoice_id": payment.invoice_id,
        "payment_id": payment.id,
        "number": payment.command_count,
        "kind": kind,
        "idempotency_key": command_id,
        "next_attempt_at": now + timedelta(seconds=after_s),
        "created_at": now,
    }


def seal_body(body: Mapping[str, Any] | None, box: Sealer, command_id: str) -> bytes | None:
    """Seal what will be sent, for its place in the command's row."""
    if body is None:
        return None
    return box.seal(orjson.dumps(body), place=f"command:{command_id}:body")
