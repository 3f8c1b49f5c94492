"""What of a subscription is due, and may go now.

In a line (an invoice, for one subscription) only the earliest pending may, unless the
subscription is not in order or the delivery was asked for again. A delivery that is due and may
not go yet is given a time at which looking again is worth while; what ends its wait (see settling)
makes it due at once, so that this time is only the fallback.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session

from service.outbox.rows import DELIVERY, LINE_HEAD, SUBSCRIPTION, is_pending
from service.store.among import among

# The second look and those after it read this many rows: what is blocked comes in piles.
_LOOK_ROWS = 250
# An end to looking past blocked rows: the transaction stays short, the next goes on.
_LOOKS_MAX = 10
# Behind a delivery that is under way; as long as a lost signal may cost.
_WAIT_S = 1

Row = sa.Row[Any]


def choose_for_all(
    session: Session, subscriptions: Sequence[Row], shares: Mapping[str, int], now: datetime
) -> dict[str, Sequence[Row]]:
    """Return what goes out to each of many that are locked: one look for all."""
    if not subscriptions:
        return {}
    given = {"ids": list(shares), "now": now, "at_most": max(shares.values())}
    due = _by_subscription(session, _DUE_OF_EACH, given)
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


def first_of_each(session: Session, ids: Sequence[str]) -> dict[str, Row]:
    """Return the one delivery that is tried until a receiver has said 2xx, and when that is due.

    It is the first in the order of the partial index, so that finding it costs one look, however
    many wait: the ping, then by invoice."""
    if not ids:
        return {}
    found = _by_subscription(session, _FIRST_OF_EACH, {"ids": ids})
    return {key: rows[0] for key, rows in found.items()}


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
_DUE = (*_COLUMNS, LINE_HEAD.label("line_head_id"))
_FIRST = (*_COLUMNS, DELIVERY.c.next_attempt_at)

Narrow = Callable[[sa.Select[Any], sa.FromClause], sa.Select[Any]]


def _longest_due(deliveries: sa.Select[Any], of: sa.FromClause) -> sa.Select[Any]:
    due = deliveries.where(is_pending(of), of.c.next_attempt_at <= _NOW)
    return due.order_by(of.c.next_attempt_at, of.c.position).limit(_AT_MOST)


def _first_in_line(deliveries: sa.Select[Any], of: sa.FromClause) -> sa.Select[Any]:
    return deliveries.where(is_pending(of)).order_by(of.c.line, of.c.position).limit(1)


def _locked(deliveries: sa.Select[Any]) -> sa.Select[Any]:
    return deliveries.with_for_update(of=DELIVERY, skip_locked=True)


# Without what was taken already.
_DUE_OF_ONE = _locked(_longest_due(sa.select(*_DUE), DELIVERY)).where(
    DELIVERY.c.subscription_id == sa.bindparam("id"),
    sa.not_(among(DELIVERY.c.id, "taken")),
)


@dataclass(frozen=True, slots=True)
class _Look:
    """One statement that looks once for each of many subscriptions, as each database can.

    Both look into the index once for each, whatever they hold beside."""

    on_sqlite: sa.Select[Any]
    on_postgresql: sa.Select[Any]


def _by_subscription(
    session: Session, look: _Look, given: Mapping[str, Any]
) -> dict[str, list[Row]]:
    """Return what was found and locked, in its order, by subscription."""
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    found: dict[str, list[Row]] = {}
    for row in session.execute(look.on_sqlite if is_sqlite else look.on_postgresql, given):
        found.setdefault(row.subscription_id, []).append(row)
    return found


def _look(columns: Sequence[sa.ColumnElement[Any]], narrow: Narrow) -> _Look:
    return _Look(_by_id(columns, narrow), _beside(columns, narrow))


def _beside(columns: Sequence[sa.ColumnElement[Any]], narrow: Narrow) -> sa.Select[Any]:
    """PostgreSQL's way: the look stands beside its subscription."""
    of_it = sa.select(*columns, DELIVERY.c.next_attempt_at.label("due_at")).where(
        DELIVERY.c.subscription_id == SUBSCRIPTION.c.id
    )
    look = _locked(narrow(of_it, DELIVERY)).correlate(SUBSCRIPTION).lateral("look")
    return (
        sa.select(*(column for column in look.c if column.name != "due_at"))
        .select_from(SUBSCRIPTION.join(look, sa.true()))
        .where(among(SUBSCRIPTION.c.id, "ids"))
        .order_by(look.c.due_at, look.c.position)
    )


def _by_id(columns: Sequence[sa.ColumnElement[Any]], narrow: Narrow) -> sa.Select[Any]:
    """SQLite's way, which knows no LATERAL: the look names the rows."""
    of_it = DELIVERY.alias("of_it")
    look = sa.select(of_it.c.id).where(of_it.c.subscription_id == SUBSCRIPTION.c.id)
    return (
        sa.select(*columns)
        .select_from(
            SUBSCRIPTION.join(
                DELIVERY, DELIVERY.c.id.in_(narrow(look, of_it).correlate(SUBSCRIPTION))
            )
        )
        .where(among(SUBSCRIPTION.c.id, "ids"))
        .order_by(*_IN_ORDER)
    )


_DUE_OF_EACH, _FIRST_OF_EACH = _look(_DUE, _longest_due), _look(_FIRST, _first_in_line)


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
