"""When a subscription is to be looked at for its next delivery.

The workers look for subscriptions that are ready, not through everything that is due: what is
owed to a thousand dead receivers costs nobody else a look. So whatever changes what a
subscription may be sent must say so here, in the same transaction.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session

from service.outbox.rows import DELIVERY, IS_PENDING, SUBSCRIPTION
from service.store.among import among
from webhooks.health import SubscriptionStatus


def lock(session: Session, ids: Collection[str]) -> Mapping[str, sa.Row[Any]]:
    """Lock subscriptions, in one order for all, and return them by id.

    Whoever changes pending deliveries or their subscription locks the subscription first."""
    return {row.id: row for row in session.execute(_LOCK, {"ids": ids})}


_LOCK = (
    sa.select(SUBSCRIPTION)
    .where(among(SUBSCRIPTION.c.id, "ids"))
    .order_by(SUBSCRIPTION.c.id)
    .with_for_update(key_share=True)
)


def refresh(session: Session, ids: Collection[str], *, now: datetime) -> None:
    """Note when each of these, which are locked, has something to send next.

    Were they not locked, what another transaction has just added could be overlooked."""
    if ids:
        session.execute(_REFRESH, {"ids": ids, "at": now})


_AT = sa.bindparam("at", type_=SUBSCRIPTION.c.ready_at.type)
# From now on and not from when it was due: the ready take turns.
_EARLIEST = sa.case((SUBSCRIPTION.c.rests_until > _AT, SUBSCRIPTION.c.rests_until), else_=_AT)
_FIRST = (
    sa.select(sa.func.min(DELIVERY.c.next_attempt_at))
    .where(DELIVERY.c.subscription_id == SUBSCRIPTION.c.id, IS_PENDING)
    .correlate(SUBSCRIPTION)
    .scalar_subquery()
)
_REFRESH = (
    sa.update(SUBSCRIPTION)
    .where(among(SUBSCRIPTION.c.id, "ids"))
    .values(
        ready_at=sa.case(
            (SUBSCRIPTION.c.status == SubscriptionStatus.DISABLED, sa.null()),
            (_FIRST.is_(None), sa.null()),
            (_FIRST > _EARLIEST, _FIRST),
            else_=_EARLIEST,
        )
    )
)


def next_at(session: Session) -> datetime | None:
    """Return when the next subscription is ready; None where nobody is owed anything."""
    first: datetime | None = session.scalars(_NEXT).one()
    return first


_NEXT = sa.select(sa.func.min(SUBSCRIPTION.c.ready_at))


def announce(session: Session, ids: Collection[str], *, now: datetime) -> None:
    """Make ready at once who has just been given something due; who rests, after the rest."""
    lock(session, ids)  # an update of many locks them in an order of its own
    session.execute(_ANNOUNCE, {"ids": ids, "at": now})


_ANNOUNCE = (
    sa.update(SUBSCRIPTION)
    .where(
        among(SUBSCRIPTION.c.id, "ids"),
        SUBSCRIPTION.c.status != SubscriptionStatus.DISABLED,
        sa.or_(SUBSCRIPTION.c.ready_at.is_(None), SUBSCRIPTION.c.ready_at > _EARLIEST),
    )
    .values(ready_at=_EARLIEST)
)


def hurry(session: Session, subscription_id: str, *, now: datetime) -> None:
    """Make one, which is locked, ready at once, although it rests: a person is waiting.

    Its rest stays while something is under way, for it may be one at a time."""
    under_way = sa.exists().where(
        DELIVERY.c.subscription_id == subscription_id, IS_PENDING, DELIVERY.c.lease.is_not(None)
    )
    session.execute(
        sa.update(SUBSCRIPTION)
        .where(SUBSCRIPTION.c.id == subscription_id, ~under_way)
        .values(rests_until=None)
    )
    refresh(session, [subscription_id], now=now)


def rest(session: Session, until: Mapping[str, datetime | None]) -> None:
    """Note until when nothing is tried for each of these, which are locked."""
    if until:
        statement = (
            sa.update(SUBSCRIPTION)
            .where(SUBSCRIPTION.c.id == sa.bindparam("key"))
            .values(rests_until=sa.bindparam("until"))
        )
        rows: Sequence[dict[str, Any]] = [{"key": k, "until": at} for k, at in until.items()]
        session.execute(statement, rows)
