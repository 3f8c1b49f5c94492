"""Everything stored about one invoice, as one file that outsiders can check.

The file is JSON: `evidence` (what is stored) and `signature` (ed25519 over the canonical bytes
of `evidence`: keys sorted, no white space, UTF-8). Vipps's bodies stand as they came, but for
phone numbers, of which two digits are left; `bodySha256` is that of the true bytes, and the
chain of transitions holds the same hash, which outlives the erasure of a body. Beside it stand the
headers that proved it: whoever has the secret can compute the signature anew. Subscribers' answers
stand as text, with long numbers masked.
"""

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson
import sqlalchemy as sa
from sqlmodel import Session

from service.context import Context
from service.ledger.people import open_sealed
from service.ledger.resource import event_invoice, rfc3339
from service.store.inserts import table_of
from service.store.tables import (
    Act,
    Attempt,
    Command,
    CommandAttempt,
    Delivery,
    Event,
    InvoiceRecord,
    Payment,
    StoredVippsEvent,
    Transition,
)
from service.vault import SealBroken, Vault
from webhooks.standard import public_key_text

FORMAT = "betalbar-evidence-1"
ALGORITHM = "ed25519"

# Where Vipps's bodies, and others' in their own spelling, hold a phone number.
_PHONE_MEMBERS = frozenset({"mobilenumber", "phonenumber", "phone", "mobile", "msisdn"})

# Eight digits or more, in groups as people write them; a day, which is eight too, stays.
_LONG_NUMBER = re.compile(r"(?<!\d)(?!\d{4}-\d\d-\d\d(?!\d))\+?\d(?:[ ().\u00a0-]{0,2}\d){7,}")


def evidence_of(session: Session, context: Context, invoice: InvoiceRecord) -> dict[str, Any]:
    """Return the signed file of one invoice, as of now."""
    column = table_of(Payment).c
    chain = sa.select(Payment).where(column.invoice_id == invoice.id).order_by(column.attempt)
    resource = event_invoice(
        invoice,
        session.scalars(chain).all(),
        vault=context.vault,
        base_url=context.settings.base_url,
    )
    return evidence_file(session, context.vault, invoice, resource, context.clock.business_now())


def evidence_file(
    session: Session,
    vault: Vault,
    invoice: InvoiceRecord,
    resource: Mapping[str, Any],
    now: datetime,
) -> dict[str, Any]:
    """Return the signed file; `resource` is the invoice as the API shows it, without the person."""
    vipps_events, events = (f(session, vault, invoice) for f in (_vipps_events, _events))
    told = sum("transition" in event["data"] for event in events)
    evidence = {
        "format": FORMAT,
        "madeAt": rfc3339(now),
        "invoice": dict(resource),
        "transitions": _rows(session, Transition, invoice, "sequence"),
        "acts": _rows(session, Act, invoice, "at"),
        "vippsEvents": vipps_events,
        "payments": _rows(session, Payment, invoice, "attempt", without=("redirect_url",)),
        "commands": _commands(session, invoice),
        "events": events,
        "deliveries": _deliveries(session, vault, invoice),
        # Let go of by age, or with a person: the file is whole without, and says so.
        "noLongerKept": {
            "bodies": sum(event["body"] is None for event in vipps_events),
            "events": invoice.sequence - told,
        },
    }
    signature = vault.signing_key.sign(canonical(evidence))
    return {
        "evidence": orjson.loads(canonical(evidence)),
        "signature": {
            "algorithm": ALGORITHM,
            "publicKey": public_key_text(vault.signing_key),
            "value": base64.b64encode(signature).decode(),
        },
    }


def canonical(evidence: Mapping[str, Any]) -> bytes:
    """Return the bytes that are signed."""
    return orjson.dumps(evidence, option=orjson.OPT_SORT_KEYS)


def mask(value: Any) -> Any:
    """Return a JSON value with every phone number reduced to its last two digits."""
    if isinstance(value, dict):
        return {k: _masked(v) if _holds_phone(k) else mask(v) for k, v in value.items()}
    if isinstance(value, list):
        return [mask(item) for item in value]
    return value


def mask_text(text: str) -> str:
    """Return a text with every number long enough for a phone's reduced to its last two digits.

    A stranger's text has no members by which to tell a phone number from another long number:
    better one order number too few than one phone number too many."""
    return _LONG_NUMBER.sub(lambda found: _masked(found[0]), text)


def _holds_phone(name: str) -> bool:
    return name.lower().replace("_", "").replace("-", "") in _PHONE_MEMBERS


def _masked(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | str):
        return mask(value)
    text = str(value)
    return "*" * max(len(text) - 2, 0) + text[-2:]


def _rows(
    session: Session,
    model: type[Any],
    invoice: InvoiceRecord,
    order: str,
    *,
    without: Sequence[str] = (),
) -> list[dict[str, Any]]:
    column = table_of(model).c
    chosen = [c for c in column if c.name not in without]
    rows = session.execute(
        sa.select(*chosen).where(column.invoice_id == invoice.id).order_by(column[order])
    )
    return [_plain(row._mapping) for row in rows]


def _plain(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(name): _plain_value(value) for name, value in row.items()}


def _plain_value(value: Any) -> Any:
    if isinstance(value, bytes | memoryview):
        return bytes(value).hex()
    # Microseconds and not the API's milliseconds: the chain's hash is made over them.
    return value.isoformat(timespec="microseconds") if isinstance(value, datetime) else value


def _vipps_events(session: Session, vault: Vault, invoice: InvoiceRecord) -> list[dict[str, Any]]:
    column, payment = table_of(StoredVippsEvent).c, table_of(Payment).c
    rows = session.execute(
        sa.select(*column, payment.shared_by)
        .outerjoin_from(
            table_of(StoredVippsEvent), table_of(Payment), payment.id == column.payment_id
        )
        .where(column.invoice_id == invoice.id)
        .order_by(column.received_at)
    )
    found = []
    for row in rows:
        event = _plain(row._mapping)
        event["bodySha256"] = event.pop("raw_hash")
        owners = (event.pop("shared_by"), invoice.customer_id)
        event["body"] = _sealed_json(session, vault, row, "raw", owners)
        del event["raw"]
        event["headers"] = _sealed_json(session, vault, row, "headers", owners)
        found.append(event)
    return found


def _sealed_json(
    session: Session, vault: Vault, row: sa.Row[Any], name: str, owners: Iterable[str | None]
) -> Any:
    """Return a Vipps event's body, or headers, masked; None where none is left.

    A body that tells of a person is sealed with the key of one of the `owners`."""
    sealed, place = row._mapping[name], f"vipps_event:{row.id}:{name}"
    if sealed is None:
        return None
    try:
        plain = open_sealed(session, vault, sealed, place=place, customer_ids=owners)
    except SealBroken:
        return None
    return mask(orjson.loads(plain))


def _commands(session: Session, invoice: InvoiceRecord) -> list[dict[str, Any]]:
    commands = _rows(session, Command, invoice, "created_at", without=("body", "lease"))
    column = table_of(CommandAttempt).c
    tried = session.execute(
        sa.select(*column)
        .where(column.command_id.in_([command["id"] for command in commands]))
        .order_by(column.command_id, column.number)
    )
    by_command: dict[str, list[dict[str, Any]]] = {}
    for row in tried:
        by_command.setdefault(row.command_id, []).append(_plain(row._mapping))
    return [{**command, "attempts": by_command.get(command["id"], [])} for command in commands]


def _events(session: Session, vault: Vault, invoice: InvoiceRecord) -> list[dict[str, Any]]:
    rows = session.execute(_told(invoice))
    return [
        orjson.loads(vault.open(r.payload, place=f"event:{r.id}:payload"))
        for r in sorted(rows, key=lambda row: row.position)
    ]


def _told(invoice: InvoiceRecord) -> sa.CompoundSelect[Any]:
    """Return the statement that finds an invoice's events: in halves, as they are indexed."""
    column = table_of(Event).c
    mine = sa.select(column.id, column.position, column.payload).where(
        column.invoice_id == invoice.id
    )
    return sa.union_all(mine.where(column.is_transition), mine.where(sa.not_(column.is_transition)))


def _deliveries(session: Session, vault: Vault, invoice: InvoiceRecord) -> list[dict[str, Any]]:
    delivery, attempt = table_of(Delivery), table_of(Attempt)
    told = _told(invoice).subquery()
    rows = session.execute(
        sa.select(delivery.c.event_id, delivery.c.subscription_id, *attempt.c)
        .join_from(told, delivery, delivery.c.event_id == told.c.id)
        .join(attempt, attempt.c.delivery_id == delivery.c.id)
        .order_by(delivery.c.position, attempt.c.number)
    )
    found = []
    for row in rows:
        tried = _plain(row._mapping)
        place = f"attempt:{row.delivery_id}:{row.number}:answer"
        answer = vault.open(row.answer, place=place) if row.answer else b""
        tried["answer"] = mask_text(answer.decode(errors="replace"))
        found.append(tried)
    return found
