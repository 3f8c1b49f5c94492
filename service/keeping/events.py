"""Letting go of the feed's beginning: events that everybody has been told of long ago.

The feed is let go of in its own order, so that it has one beginning, and who stands before it is
told so. What must stay although the feed has passed it (an event of an invoice that goes on, or one
that is still owed to somebody) stays behind the beginning: evidence, and no part of the feed. A
second look takes it when its time has come.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session

from service.context import Context
from service.keeping.archive import Archive
from service.keeping.deliveries import delete_ended, write_down
from service.keeping.ends import ended_before
from service.keeping.pieces import AT_ONCE, Piece, note_gone
from service.store.inserts import table_of
from service.store.tables import BrokerPosition, Delivery, Event, Fanout, LetGo

_EVENT, _DELIVERY = table_of(Event), table_of(Delivery)
_FANOUT, _BROKER, _LET_GO = table_of(Fanout), table_of(BrokerPosition), table_of(LetGo)

Row = sa.Row[Any]


@dataclass(frozen=True, slots=True)
class _Unit:
    """A sales unit's feed: where it begins, and up to where everybody has been told."""

    msn: str
    start: int
    told: int


def move_beginning(context: Context, archive: Archive, kept_for: timedelta) -> Piece:
    """Let each feed begin later, by a piece, up to the first event that is young or not yet told.

    Raises: DatabaseAway, ArchiveAway."""
    before = context.clock.business_now() - kept_for
    count, has_more = 0, False
    for unit in _units(context):
        rows = _rows(context, unit.msn, after=unit.start, until=unit.told, before=before)
        old = list(takewhile(lambda row: row.recorded_at < before, rows))
        if old:
            count += _let_go(context, archive, unit.msn, old, before)
            has_more = has_more or len(old) == AT_ONCE
    return Piece(count, has_more)


@dataclass(slots=True)
class SecondLook:
    """Looks at what was left behind the beginnings, a piece of each feed at a time."""

    _reached: dict[str, int] = field(default_factory=dict)

    def __call__(self, context: Context, archive: Archive, kept_for: timedelta) -> Piece:
        """Let go of what may go by now; more is to be looked at until the round is over.

        Raises: DatabaseAway, ArchiveAway."""
        before = context.clock.business_now() - kept_for
        count, has_more = 0, False
        for unit in _units(context):
            after = self._reached.get(unit.msn, 0)
            rows = _rows(context, unit.msn, after=after, until=unit.start, before=before)
            is_over = len(rows) < AT_ONCE
            self._reached[unit.msn] = 0 if is_over else rows[-1].position
            has_more = has_more or not is_over
            if any(row.may_go for row in rows):
                count += _let_go(context, archive, unit.msn, rows, before)
        return Piece(count, has_more)


def _units(context: Context) -> list[_Unit]:
    told: sa.ColumnElement[int] = _FANOUT.c.position
    if context.settings.broker_url:
        is_ahead = _BROKER.c.position > _FANOUT.c.position
        told = sa.case((is_ahead, _FANOUT.c.position), else_=_BROKER.c.position)
    units = (
        sa.select(_FANOUT.c.msn, sa.func.coalesce(_LET_GO.c.position, 0), sa.func.coalesce(told, 0))
        .outerjoin_from(_FANOUT, _LET_GO, _LET_GO.c.msn == _FANOUT.c.msn)
        .outerjoin(_BROKER, _BROKER.c.msn == _FANOUT.c.msn)
        .order_by(_FANOUT.c.msn)
    )
    with context.database.snapshot() as session:
        return [_Unit(*row) for row in session.execute(units)]


def _rows(context: Context, msn: str, *, after: int, until: int, before: datetime) -> Sequence[Row]:
    stretch = (
        sa.select(
            _EVENT.c.id, _EVENT.c.position, _EVENT.c.recorded_at, _may_go(before).label("may_go")
        )
        .where(_EVENT.c.msn == msn, _EVENT.c.position > after, _EVENT.c.position <= until)
        .order_by(_EVENT.c.position)
        .limit(AT_ONCE)
    )
    with context.database.snapshot() as session:
        return session.execute(stretch).all()


def _may_go(before: datetime) -> sa.ColumnElement[bool]:
    is_owed = sa.exists().where(
        _DELIVERY.c.event_id == _EVENT.c.id, _DELIVERY.c.settled_at.is_(None)
    )
    is_of_none = _EVENT.c.invoice_id.is_(None)
    return sa.and_(sa.or_(is_of_none, ended_before(_EVENT.c.invoice_id, before)), ~is_owed)


def _let_go(
    context: Context, archive: Archive, msn: str, rows: Sequence[Row], before: datetime
) -> int:
    """Delete what may go of a stretch of a feed, which begins behind it from now on."""
    ids = [row.id for row in rows if row.may_go]
    of_them = sa.select(_DELIVERY.c.id, _DELIVERY.c.event_id).where(_DELIVERY.c.event_id.in_(ids))
    with context.database.snapshot() as session:
        events = session.execute(sa.select(_EVENT).where(_EVENT.c.id.in_(ids))).all()
        deliveries = session.execute(of_them).all()
    # An event has as many as there are subscribers: they go in pieces of their own.
    for start in range(0, len(deliveries), AT_ONCE):
        _let_go_of_deliveries(context, archive, deliveries[start : start + AT_ONCE], before)
    archive.keep("event", events)
    with context.database.transaction() as session:
        locked = _locked(session, ids, before)
        # A delivery that is left is one that somebody asks for again just now.
        is_free = ~sa.exists().where(_DELIVERY.c.event_id == _EVENT.c.id)
        gone = session.execute(
            sa.delete(_EVENT)
            .where(_EVENT.c.id.in_(locked), is_free)
            .returning(_EVENT.c.recorded_at)
        )
        told_at = gone.scalars().all()
        last = max(told_at, default=None)
        note_gone(session, msn, position=rows[-1].position, told_at=last)
    return len(told_at)


def _let_go_of_deliveries(
    context: Context, archive: Archive, deliveries: Sequence[Row], before: datetime
) -> None:
    ids = [row.id for row in deliveries]
    write_down(context, archive, ids)
    with context.database.transaction() as session:
        locked = _locked(session, {row.event_id for row in deliveries}, before)
        of_locked = _DELIVERY.c.event_id.in_(locked)
        delete_ended(session, sa.and_(_DELIVERY.c.id.in_(ids), of_locked))


def _locked(session: Session, ids: Collection[str], before: datetime) -> Sequence[str]:
    """Return which of these events may still go; nobody makes a delivery of them meanwhile."""
    still = sa.select(_EVENT.c.id).where(_EVENT.c.id.in_(ids), _may_go(before))
    return session.scalars(still.with_for_update(skip_locked=True)).all()
