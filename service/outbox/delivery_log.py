"""The log of deliveries as merchants see it: what went to whom, and what each receiver said."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session

from service.outbox.rows import ATTEMPT, DELIVERY, EVENT, PING_LINE, SUBSCRIPTION
from service.shapes.subscriptions import AttemptResource, DeliveryResource
from service.store.inserts import table_of
from service.store.instants import rfc3339_of
from service.store.tables import DeliveryStatus, Invoice
from service.vault import Vault
from webhooks.health import SubscriptionStatus

# A parked subscription's oldest delivery is tried for days: of those the last ones are shown.
ATTEMPTS_SHOWN_MAX = 20

_INVOICE = table_of(Invoice)


def list_page(
    session: Session,
    vault: Vault,
    subscription_id: str,
    *,
    limit: int,
    after: str | None = None,
    statuses: Sequence[str] = (),
) -> tuple[list[DeliveryResource], str | None]:
    """Return deliveries, newest first, and what to pass as `after` for the rest."""
    wanted = _deliveries().where(DELIVERY.c.subscription_id == subscription_id)
    if statuses:
        # As text: only then is the index of the few that failed known to hold what is asked for.
        named: list[sa.ColumnElement[str]] = [
            sa.literal_column(f"'{DeliveryStatus(status)}'") for status in statuses
        ]
        wanted = wanted.where(DELIVERY.c.status.in_(named))
    if after is not None:
        wanted = wanted.where(DELIVERY.c.id < after)
    rows = session.execute(wanted.order_by(DELIVERY.c.id.desc()).limit(limit + 1)).all()
    page = rows[:limit]
    return render(session, vault, page), page[-1].id if len(rows) > limit else None


def one(session: Session, vault: Vault, delivery_id: str) -> DeliveryResource:
    """Return one delivery that is known to be there."""
    row = session.execute(_deliveries().where(DELIVERY.c.id == delivery_id)).one()
    return render(session, vault, [row])[0]


def render(session: Session, vault: Vault, rows: Sequence[sa.Row[Any]]) -> list[DeliveryResource]:
    """Return rows of `_deliveries` as the API shows them, each with its last attempts."""
    attempts = _attempts(session, vault, [row.id for row in rows])
    return [
        {
            "id": row.id,
            "event": row.event_id,
            "type": "test.ping" if row.line == PING_LINE else row.type,
            "reference": row.reference,
            "status": row.status,
            "nextAttemptAt": _instant(_next_attempt_at(row)),
            "createdAt": rfc3339_of(row.created_at),
            "settledAt": _instant(row.settled_at),
            "attemptCount": row.attempts,
            "attempts": attempts.get(row.id, []),
        }
        for row in rows
    ]


def _deliveries() -> sa.Select[Any]:
    # A ping has no event, and not every event an invoice.
    return (
        sa.select(
            DELIVERY,
            EVENT.c.type,
            _INVOICE.c.reference,
            SUBSCRIPTION.c.status.label("subscription_status"),
            SUBSCRIPTION.c.rests_until,
        )
        .join(SUBSCRIPTION, SUBSCRIPTION.c.id == DELIVERY.c.subscription_id)
        .outerjoin(EVENT, EVENT.c.id == DELIVERY.c.event_id)
        .outerjoin(_INVOICE, _INVOICE.c.id == EVENT.c.invoice_id)
    )


def _next_attempt_at(row: sa.Row[Any]) -> datetime | None:
    """Return when it is tried next at the earliest; None where it won't be, or is under way."""
    is_off = row.subscription_status == SubscriptionStatus.DISABLED
    if row.status != DeliveryStatus.PENDING or is_off or row.lease is not None:
        return None
    at: datetime = row.next_attempt_at
    return at if row.rests_until is None else max(at, row.rests_until)


def _instant(at: datetime | None) -> str | None:
    return None if at is None else rfc3339_of(at)


def _attempts(
    session: Session, vault: Vault, delivery_ids: Sequence[str]
) -> Mapping[str, list[AttemptResource]]:
    back = sa.func.row_number().over(
        partition_by=ATTEMPT.c.delivery_id, order_by=ATTEMPT.c.number.desc()
    )
    of_these = ATTEMPT.c.delivery_id.in_(delivery_ids)
    numbered = sa.select(ATTEMPT, back.label("back")).where(of_these).subquery()
    found = session.execute(
        sa.select(numbered)
        .where(numbered.c.back <= ATTEMPTS_SHOWN_MAX)
        .order_by(numbered.c.delivery_id, numbered.c.number)
    )
    by_delivery: dict[str, list[AttemptResource]] = {}
    for row in found:
        by_delivery.setdefault(row.delivery_id, []).append(_attempt(vault, row))
    return by_delivery


def _attempt(vault: Vault, row: sa.Row[Any]) -> AttemptResource:
    """Return one try; a receiver's bytes become text, whatever they are."""
    answer = None
    if row.answer is not None:
        place = f"attempt:{row.delivery_id}:{row.number}:answer"
        answer = vault.open(row.answer, place=place).decode("utf-8", "replace")
    return {
        "at": rfc3339_of(row.at),
        "status": row.status,
        "latencyMs": row.latency_ms,
        "answer": answer,
        "error": row.error,
    }
