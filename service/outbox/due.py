"""What of a subscription is due, and may go now.

In a line (an invoice, for one subscription) only the earliest pending may, unless the
subscription is not in order or the delivery was asked for again. A delivery that is due and may
not go yet is given a time at which looking again is worth while; what ends its wait (see settling)
makes it due at once, so that this time is only the fallback.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session

from service.outbox.rows import DELIVERY, IS_PENDING, LINE_HEAD, SUBSCRIPTION, is_pending
from service.store.among import among
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
    due = _due_of_each(session, list(shares), now, max(shares.values()))
    chosen: dict[str, Sequence[Row]] = {}
    rest: list[Row] = []
    all_blocked: list[Row] = []
    for each in subscriptions:
        found = due.get(each.id, [])[: shares[each.id]]
        free, blocked = _parted(found, each)
        chosen[each.id] = free
        all_blocked += blocked
        if blocked and len(found) == shares[each.id]:
            rest.append(each)
    _put_off(session, all_blocked, now)
    for each in rest:
        first = chosen[each.id]
        chosen[each.id] = _past_the_blocked(session, each, shares[each.id], now, first)
    return chosen


def _past_the_blocked(
    session: Session, subscription: Row, share: int, now: datetime, found: Sequence[Row]
) -> list[Row]:
    """Return what was found already and more of it, however much in between may not go."""
    rows = list(found)
    for look in range(_LOOKS_MAX):
        wanted = max(share, _LOOK_ROWS) if look or found else share
        taken = [row.id for row in rows]
        given = {"id": subscription.id, "now": now, "at_most": wanted, "taken": taken}
        due = session.execute(_DUE_OF_ONE, given).all()
        free, blocked = _parted(due, subscription)
        _put_off(session, blocked, now)
        rows += free[: share - len(rows)]
        if len(due) < wanted or len(rows) == share:
            break
    return rows


def _first_of_all(session: Session, subscription_id: str, now: datetime) -> Chosen:
    """Return the one delivery that is tried until a receiver has said 2xx.

    It is the first in the order of the partial index, so that finding it costs one look, however
    many wait: the ping, then by invoice."""
    first = session.execute(_FIRST_OF_ALL, {"id": subscription_id}).first()
    if first is not None and first.next_attempt_at > now:
        return Chosen(rests_until=first.next_attempt_at)
    return Chosen([] if first is None else [first])


_NOW = sa.bindparam("now", type_=DELIVERY.c.next_attempt_at.type)
_AT_MOST = sa.bindparam("at_most", type_=sa.Integer)
# No instants: to read them costs as much as all else of a row, and few need one.
_COLUMNS = (
    DELIVERY.c.id,
    DELIVERY.c.subscription_id,
    DELIVERY.c.event_id,
    DELIVERY.c.line,
    DELIVERY.c.position,
    DELIVERY.c.is_in_line,
)
_IN_ORDER = (DELIVERY.c.next_attempt_at, DELIVERY.c.position)
_DUE = sa.select(*_COLUMNS, LINE_HEAD.label("line_head_id"))
# What has been due longest of one, locked, without what was taken already.
_DUE_OF_ONE = (
    _DUE.where(
        DELIVERY.c.subscription_id == sa.bindparam("id"),
        IS_PENDING,
        DELIVERY.c.next_attempt_at <= _NOW,
        sa.not_(among(DELIVERY.c.id, "taken")),
    )
    .order_by(*_IN_ORDER)
    .limit(_AT_MOST)
    .with_for_update(of=DELIVERY, skip_locked=True)
)
_FIRST_OF_ALL = (
    sa.select(*_COLUMNS, DELIVERY.c.next_attempt_at)
    .where(DELIVERY.c.subscription_id == sa.bindparam("id"), IS_PENDING)
    .order_by(DELIVERY.c.line, DELIVERY.c.position)
    .limit(1)
    .with_for_update()
)


def _due_of_each(
    session: Session, ids: Sequence[str], now: datetime, at_most: int
) -> dict[str, list[Row]]:
    """Return what has been due longest of each of these, locked, so many of each at most.

    Both databases look into the index once for each subscription, whatever they hold beside."""
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    statement = _DUE_BY_ID if is_sqlite else _DUE_BESIDE
    due: dict[str, list[Row]] = {}
    for row in session.execute(statement, {"ids": ids, "now": now, "at_most": at_most}):
        due.setdefault(row.subscription_id, []).append(row)
    return due


def _due_beside() -> sa.Select[Any]:
    """PostgreSQL's way: the look stands beside its subscription."""
    look = (
        _DUE.add_columns(DELIVERY.c.next_attempt_at)
        .where(
            DELIVERY.c.subscription_id == SUBSCRIPTION.c.id,
            IS_PENDING,
            DELIVERY.c.next_attempt_at <= _NOW,
        )
        .order_by(*_IN_ORDER)
        .limit(_AT_MOST)
        .with_for_update(of=DELIVERY, skip_locked=True)
        .correlate(SUBSCRIPTION)
        .lateral("look")
    )
    columns = [column for column in look.c if column.name != "next_attempt_at"]
    return (
        sa.select(*columns)
        .select_from(SUBSCRIPTION.join(look, sa.true()))
        .where(among(SUBSCRIPTION.c.id, "ids"))
        .order_by(look.c.next_attempt_at, look.c.position)
    )


def _due_by_id() -> sa.Select[Any]:
    """SQLite's way, which knows no LATERAL: the look names the rows."""
    of_it = DELIVERY.alias("of_it")
    look = (
        sa.select(of_it.c.id)
        .where(
            of_it.c.subscription_id == SUBSCRIPTION.c.id,
            is_pending(of_it),
            of_it.c.next_attempt_at <= _NOW,
        )
        .order_by(of_it.c.next_attempt_at, of_it.c.position)
        .limit(_AT_MOST)
        .correlate(SUBSCRIPTION)
    )
    return (
        _DUE.select_from(SUBSCRIPTION.join(DELIVERY, DELIVERY.c.id.in_(look)))
        .where(among(SUBSCRIPTION.c.id, "ids"))
        .order_by(*_IN_ORDER)
    )


_DUE_BESIDE, _DUE_BY_ID = _due_beside(), _due_by_id()


def _parted(due: Sequence[Row], subscription: Row) -> tuple[list[Row], list[Row]]:
    """Return those that may go, and those that wait for the first of their line."""
    if not subscription.is_in_order:
        return list(due), []
    free: list[Row] = []
    blocked: list[Row] = []
    for row in due:
        is_free = row.line_head_id == row.id or not row.is_in_line
        (free if is_free else blocked).append(row)
    return free, blocked


def _put_off(session: Session, blocked: Sequence[Row], now: datetime) -> None:
    """Let what may not go wait for the first of its line.

    While that one is under way for a moment only: the end of a lease says nothing, since sending
    mostly ends earlier."""
    if blocked:
        soon = now + timedelta(seconds=_WAIT_S)
        session.execute(_PUT_OFF, {"ids": [row.id for row in blocked], "soon": soon})


_SOON = sa.bindparam("soon", type_=DELIVERY.c.next_attempt_at.type)
_HEAD = DELIVERY.alias("head")
_TRIED_LATER = sa.and_(_HEAD.c.lease.is_(None), _HEAD.c.next_attempt_at > _SOON)
_PUT_OFF = (
    sa.update(DELIVERY)
    .where(among(DELIVERY.c.id, "ids"))
    .values(
        next_attempt_at=sa.select(sa.case((_TRIED_LATER, _HEAD.c.next_attempt_at), else_=_SOON))
        .where(_HEAD.c.id == LINE_HEAD)
        .scalar_subquery()
    )
)
