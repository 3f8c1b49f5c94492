"""From the feed to deliveries: each event once for every subscription that wants it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session

from service.ids import new_id
from service.outbox import readiness
from service.outbox.event_types import matches
from service.outbox.rows import DELIVERY, EVENT, FANOUT, FEED, SUBSCRIPTION
from service.store.tables import DeliveryStatus, SubscriptionStatus


def fan_out(session: Session, *, now: datetime, limit: int) -> int:
    """Turn about `limit` events of the feeds into deliveries; return how many events.

    A sales unit that another process is fanning out is left to it. Each that is behind gets
    an equal share, so that one unit's backlog keeps nobody waiting."""
    behind = session.execute(
        sa.select(FANOUT.c.msn, FANOUT.c.position)
        .join(FEED, FEED.c.msn == FANOUT.c.msn)
        .where(FEED.c.position > FANOUT.c.position)
        .limit(limit)
        .with_for_update(of=FANOUT, skip_locked=True)
    ).all()
    share = -(-limit // max(1, len(behind)))
    return sum(_fan_out_unit(session, unit, now=now, limit=share) for unit in behind)


def _fan_out_unit(session: Session, unit: sa.Row[Any], *, now: datetime, limit: int) -> int:
    events = session.execute(
        sa.select(
            EVENT.c.id,
            EVENT.c.type,
            EVENT.c.invoice_id,
            EVENT.c.position,
            EVENT.c.subscription_id,
        )
        .where(EVENT.c.msn == unit.msn, EVENT.c.position > unit.position)
        .order_by(EVENT.c.position)
        .limit(limit)
    ).all()
    if not events:
        return 0
    deliveries = _deliveries(unit.msn, events, _takers(session, unit.msn), now)
    if deliveries:
        insert_deliveries(session, deliveries)
        readiness.announce(session, {each["subscription_id"] for each in deliveries}, now=now)
    session.execute(
        sa.update(FANOUT).where(FANOUT.c.msn == unit.msn).values(position=events[-1].position)
    )
    return len(events)


def _takers(session: Session, msn: str) -> Sequence[sa.Row[Any]]:
    return session.execute(
        sa.select(SUBSCRIPTION.c.id, SUBSCRIPTION.c.event_types, SUBSCRIPTION.c.from_position)
        .where(
            SUBSCRIPTION.c.msn == msn,
            SUBSCRIPTION.c.deleted_at.is_(None),
            SUBSCRIPTION.c.status != SubscriptionStatus.DISABLED,
        )
        .order_by(SUBSCRIPTION.c.id)
    ).all()


def _deliveries(
    msn: str, events: Sequence[sa.Row[Any]], takers: Sequence[sa.Row[Any]], now: datetime
) -> list[dict[str, Any]]:
    wanted = [
        (event, taker)
        for event in events
        for taker in takers
        if event.position > taker.from_position
        and event.subscription_id != taker.id  # nobody is told of itself
        and matches(taker.event_types, event.type)
    ]
    return [
        new_delivery(
            msn=msn,
            subscription_id=taker.id,
            event_id=event.id,
            line=event.invoice_id or event.id,
            position=event.position,
            now=now,
        )
        for event, taker in wanted
    ]


def new_delivery(
    *, msn: str, subscription_id: str, event_id: str, line: str, position: int, now: datetime
) -> dict[str, Any]:
    """Return the row of a delivery that is due now."""
    return {
        "id": new_id("dlv"),
        "msn": msn,
        "subscription_id": subscription_id,
        "event_id": event_id,
        "line": line,
        "position": position,
        "status": DeliveryStatus.PENDING,
        "attempts": 0,
        "next_attempt_at": now,
        "created_at": now,
    }


def insert_deliveries(session: Session, deliveries: Sequence[dict[str, Any]]) -> None:
    """Insert deliveries, but for those that are there already."""
    # Ids of one millisecond are in no order of their own; the log reads by id.
    ids = sorted(each["id"] for each in deliveries)
    rows = [{**each, "id": key} for key, each in zip(ids, deliveries, strict=True)]
    dialect = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
    statement = (
        dialect.insert(DELIVERY)
        .on_conflict_do_nothing(index_elements=[DELIVERY.c.event_id, DELIVERY.c.subscription_id])
        # Asked for because only then are many rows sent as one statement.
        .returning(DELIVERY.c.id)
    )
    session.execute(statement, rows).all()
