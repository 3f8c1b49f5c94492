"""From the feed to deliveries: each event once for every subscription that wants it."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session

from service.ids import new_id
from service.outbox import readiness
from service.outbox.event_types import matches
from service.outbox.rows import DELIVERY, EVENT, FANOUT, FEED, SUBSCRIPTION
from service.store.inserts import UpsertInsert, upsert_into
from service.store.tables import Delivery, DeliveryStatus, SubscriptionStatus


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
        sa.select(EVENT.c.type, EVENT.c.position)
        .where(EVENT.c.msn == unit.msn, EVENT.c.position > unit.position)
        .order_by(EVENT.c.position)
        .limit(limit)
    ).all()
    if not events:
        return 0
    window = sa.and_(
        EVENT.c.msn == unit.msn,
        EVENT.c.position > unit.position,
        EVENT.c.position <= events[-1].position,
    )
    types = {event.type for event in events}
    told: list[str] = []
    for wanted, takers in _by_taste(_takers(session, unit.msn), types).items():
        _insert(session, sa.and_(window, EVENT.c.type.in_(sorted(wanted))), takers, now)
        told += takers
    readiness.announce(session, told, now=now)
    session.execute(
        sa.update(FANOUT).where(FANOUT.c.msn == unit.msn).values(position=events[-1].position)
    )
    return len(events)


def _takers(session: Session, msn: str) -> Sequence[sa.Row[Any]]:
    return session.execute(
        sa.select(SUBSCRIPTION.c.id, SUBSCRIPTION.c.event_types)
        .where(
            SUBSCRIPTION.c.msn == msn,
            SUBSCRIPTION.c.deleted_at.is_(None),
            SUBSCRIPTION.c.status != SubscriptionStatus.DISABLED,
        )
        .order_by(SUBSCRIPTION.c.id)
    ).all()


def _by_taste(
    takers: Sequence[sa.Row[Any]], types: Collection[str]
) -> Mapping[frozenset[str], list[str]]:
    """Return the subscriptions that want the same of these types of event together."""
    groups: dict[frozenset[str], list[str]] = {}
    for taker in takers:
        wanted = frozenset(each for each in types if matches(taker.event_types, each))
        if wanted:
            groups.setdefault(wanted, []).append(taker.id)
    return groups


def _insert(
    session: Session, is_wanted: sa.ColumnElement[bool], takers: Sequence[str], now: datetime
) -> None:
    """Insert a delivery of each event for each taker, but for those that are there already.

    The database makes the rows: here they would cost more than to send them."""
    number = sa.func.row_number().over(order_by=(EVENT.c.position, SUBSCRIPTION.c.id))
    rows = sa.select(
        # Eight digits in the place of an id's last eight characters; the log reads by id.
        sa.literal(new_id("dlv")[:-8]) + sa.func.substr(sa.cast(10**8 + number, sa.String), 2),
        EVENT.c.msn,
        SUBSCRIPTION.c.id,
        EVENT.c.id,
        sa.func.coalesce(EVENT.c.invoice_id, EVENT.c.id),
        EVENT.c.position,
        *(sa.literal(value, DELIVERY.c[name].type) for name, value in _new(now).items()),
    ).where(
        is_wanted,
        SUBSCRIPTION.c.id.in_(takers),
        EVENT.c.position > SUBSCRIPTION.c.from_position,
        # Nobody is told of itself.
        sa.or_(EVENT.c.subscription_id.is_(None), EVENT.c.subscription_id != SUBSCRIPTION.c.id),
    )
    names = ("id", "msn", "subscription_id", "event_id", "line", "position", *_new(now))
    session.execute(_insert_or_leave(session).from_select(names, rows))


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
        **_new(now),
    }


def _new(now: datetime) -> dict[str, Any]:
    """Return what all deliveries have in common that are due now."""
    return {
        "status": DeliveryStatus.PENDING.value,
        "is_in_line": True,
        "attempts": 0,
        "attempts_before": 0,
        "next_attempt_at": now,
        "created_at": now,
    }


def insert_deliveries(session: Session, deliveries: Sequence[dict[str, Any]]) -> None:
    """Insert deliveries, but for those that are there already."""
    # Ids of one millisecond are in no order of their own; the log reads by id.
    ids = sorted(each["id"] for each in deliveries)
    rows = [{**each, "id": key} for key, each in zip(ids, deliveries, strict=True)]
    # Asked for because only then are many rows sent as one statement.
    session.execute(_insert_or_leave(session).returning(DELIVERY.c.id), rows).all()


def _insert_or_leave(session: Session) -> UpsertInsert:
    keys = [DELIVERY.c.event_id, DELIVERY.c.subscription_id]
    return upsert_into(session, Delivery).on_conflict_do_nothing(index_elements=keys)
