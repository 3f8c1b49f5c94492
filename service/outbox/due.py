"""What of a subscription is due, and may go now.

In a line (an invoice, for one subscription) only the earliest pending may, unless the
subscription is not in order or the delivery was asked for again. A delivery that is due and may
not go yet is given a time at which looking again is worth while; what ends its wait (see settling)
makes it due at once, so that this time is only the fallback.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session

from service.outbox.rows import DELIVERY, IS_PENDING, LINE_HEAD, SUBSCRIPTION, is_pending
from webhooks.health import SubscriptionStatus

# The second look and those after it read this many rows: what is blocked comes in piles.
_LOOK_ROWS = 250
# An end to looking past blocked rows: the transaction stays short, the next goes on.
_LOOKS_MAX = 10
# Behind a delivery that is under way; as long as a lost signal may cost.
_WAIT_S = 1

Row = sa.Row[Any]


@dataclass(frozen=True, slots=True)
class Chosen:
    """What of one subscription goes out; where nothing can, perhaps until when it rests."""

    rows: Sequence[Row] = ()
    rests_until: datetime | None = None


def choose(session: Session, subscription: Row, share: int, now: datetime) -> Chosen:
    """Return what goes out to one subscription that is locked, at most its share."""
    if subscription.status == SubscriptionStatus.UNVERIFIED:
        return _first_of_all(session, subscription.id, now)
    return Chosen(_past_the_blocked(session, subscription, share, now, ()))


def choose_for_all(
    session: Session, subscriptions: Sequence[Row], shares: Mapping[str, int], now: datetime
) -> dict[str, Sequence[Row]]:
    """Return what goes out to each of many that are healthy and locked: one look for all."""
    at_most = max(shares.values())
    looked_at = _due_of_each(session, [each.id for each in subscriptions], now, at_most)
    due = {each.id: looked_at.get(each.id, [])[: shares[each.id]] for each in subscriptions}
    blocked = [r for each in subscriptions for r in due[each.id] if not _is_free(r, each)]
    _put_off_blocked(session, blocked, now)
    chosen: dict[str, Sequence[Row]] = {}
    for each in subscriptions:
        found = due[each.id]
        free = [row for row in found if _is_free(row, each)]
        if len(free) < len(found) == shares[each.id]:
            free = _past_the_blocked(session, each, shares[each.id], now, free)
        chosen[each.id] = free
    return chosen


def _past_the_blocked(
    session: Session, subscription: Row, share: int, now: datetime, found: Sequence[Row]
) -> list[Row]:
    """Return what was found already and more of it, however much in between may not go."""
    rows = list(found)
    for look in range(_LOOKS_MAX):
        wanted = max(share, _LOOK_ROWS) if look or found else share
        due = _due(session, subscription.id, now, wanted, [row.id for row in rows])
        _put_off_blocked(session, [r for r in due if not _is_free(r, subscription)], now)
        free = [row for row in due if _is_free(row, subscription)]
        rows += free[: share - len(rows)]
        if len(due) < wanted or len(rows) == share:
            break
    return rows


def _first_of_all(session: Session, subscription_id: str, now: datetime) -> Chosen:
    """Return the one delivery that is tried until a receiver has said 2xx.

    It is the first in the order of the partial index, so that finding it costs one look, however
    many wait: the ping, then by invoice."""
    first = session.execute(
        sa.select(*_COLUMNS)
        .where(DELIVERY.c.subscription_id == subscription_id, IS_PENDING)
        .order_by(DELIVERY.c.line, DELIVERY.c.position)
        .limit(1)
        .with_for_update()
    ).first()
    if first is not None and first.next_attempt_at > now:
        return Chosen(rests_until=first.next_attempt_at)
    return Chosen([] if first is None else [first])


_COLUMNS = (
    DELIVERY.c.id,
    DELIVERY.c.subscription_id,
    DELIVERY.c.event_id,
    DELIVERY.c.line,
    DELIVERY.c.position,
    DELIVERY.c.is_in_line,
    DELIVERY.c.next_attempt_at,
    DELIVERY.c.created_at,
)
_DUE = sa.select(*_COLUMNS, LINE_HEAD.label("line_head_id"))


def _due(
    session: Session, subscription_id: str, now: datetime, limit: int, taken: Sequence[str]
) -> Sequence[Row]:
    """Return what has been due longest, locked, without those taken already."""
    return session.execute(
        _DUE.where(
            DELIVERY.c.subscription_id == subscription_id,
            IS_PENDING,
            DELIVERY.c.next_attempt_at <= now,
            DELIVERY.c.id.not_in(taken),
        )
        .order_by(DELIVERY.c.next_attempt_at, DELIVERY.c.position)
        .limit(limit)
        .with_for_update(of=DELIVERY, skip_locked=True)
    ).all()


def _due_of_each(
    session: Session, ids: Sequence[str], now: datetime, limit: int
) -> dict[str, list[Row]]:
    """Return what has been due longest of each of these, locked, so many of each at most.

    Both databases look into the index once for each subscription, whatever they hold beside."""
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    statement = _due_by_id(now, limit) if is_sqlite else _due_beside(now, limit)
    found = session.execute(statement.where(SUBSCRIPTION.c.id.in_(ids))).all()
    ordered = sorted(found, key=lambda r: (r.subscription_id, r.next_attempt_at, r.position))
    return {key: list(rows) for key, rows in groupby(ordered, lambda row: row.subscription_id)}


def _due_beside(now: datetime, limit: int) -> sa.Select[Any]:
    """PostgreSQL's way: the look stands beside its subscription."""
    look = (
        _DUE.where(
            DELIVERY.c.subscription_id == SUBSCRIPTION.c.id,
            IS_PENDING,
            DELIVERY.c.next_attempt_at <= now,
        )
        .order_by(DELIVERY.c.next_attempt_at, DELIVERY.c.position)
        .limit(limit)
        .with_for_update(of=DELIVERY, skip_locked=True)
        .correlate(SUBSCRIPTION)
        .lateral("look")
    )
    return sa.select(look).select_from(SUBSCRIPTION.join(look, sa.true()))


def _due_by_id(now: datetime, limit: int) -> sa.Select[Any]:
    """SQLite's way, which knows no LATERAL: the look names the rows."""
    of_it = DELIVERY.alias("of_it")
    look = (
        sa.select(of_it.c.id)
        .where(
            of_it.c.subscription_id == SUBSCRIPTION.c.id,
            is_pending(of_it),
            of_it.c.next_attempt_at <= now,
        )
        .order_by(of_it.c.next_attempt_at, of_it.c.position)
        .limit(limit)
        .correlate(SUBSCRIPTION)
    )
    return _DUE.select_from(SUBSCRIPTION.join(DELIVERY, DELIVERY.c.id.in_(look)))


def _is_free(row: Row, subscription: Row) -> bool:
    return not (subscription.is_in_order and row.is_in_line) or row.line_head_id == row.id


def _put_off_blocked(session: Session, blocked: Sequence[Row], now: datetime) -> None:
    """Let what may not go wait for the first of its line.

    While that one is under way for a moment only: the end of a lease says nothing, since sending
    mostly ends earlier."""
    if not blocked:
        return
    heads = _heads(session, {row.line_head_id for row in blocked})
    soon = now + timedelta(seconds=_WAIT_S)
    until = {row.id: max(heads[row.line_head_id] or soon, soon) for row in blocked}
    for at, rows in groupby(sorted(until, key=until.__getitem__), until.__getitem__):
        statement = sa.update(DELIVERY).where(DELIVERY.c.id.in_(list(rows)))
        session.execute(statement.values(next_attempt_at=at))


def _heads(session: Session, ids: Collection[str]) -> Mapping[str, datetime | None]:
    """Return when the first of each line is tried next; None while it is under way."""
    columns = (DELIVERY.c.id, DELIVERY.c.next_attempt_at, DELIVERY.c.lease)
    found = session.execute(sa.select(*columns).where(DELIVERY.c.id.in_(sorted(ids))))
    return {key: at if lease is None else None for key, at, lease in found}
