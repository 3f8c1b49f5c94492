"""Letting go of deliveries that ended long ago, with all their tries."""

from collections.abc import Collection
from datetime import timedelta

import sqlalchemy as sa
from sqlmodel import Session

from service.context import Context
from service.keeping.archive import Archive
from service.keeping.pieces import AT_ONCE, Piece, last_by_unit, note_gone
from service.store.inserts import table_of
from service.store.tables import Attempt, Delivery

_DELIVERY, _ATTEMPT = table_of(Delivery), table_of(Attempt)


def forget_deliveries(context: Context, archive: Archive, kept_for: timedelta) -> Piece:
    """Let go of a piece of the deliveries that ended so long ago, oldest first.

    What is pending has no end yet. Raises: DatabaseAway, ArchiveAway."""
    has_ended = _DELIVERY.c.settled_at < context.clock.now() - kept_for
    oldest = sa.select(_DELIVERY.c.id).where(has_ended).order_by(_DELIVERY.c.settled_at)
    with context.database.snapshot() as session:
        ids = session.scalars(oldest.limit(AT_ONCE)).all()
    write_down(context, archive, ids)
    with context.database.transaction() as session:
        gone = delete_ended(session, sa.and_(_DELIVERY.c.id.in_(ids), has_ended))
    return Piece(gone, has_more=len(ids) == AT_ONCE)


def write_down(context: Context, archive: Archive, ids: Collection[str]) -> None:
    """Have deliveries and their tries archived."""
    with context.database.snapshot() as session:
        deliveries = session.execute(sa.select(_DELIVERY).where(_DELIVERY.c.id.in_(ids))).all()
        tried = sa.select(
            (_ATTEMPT.c.delivery_id + "/" + sa.cast(_ATTEMPT.c.number, sa.String)).label("id"),
            *_ATTEMPT.c,
        )
        attempts = session.execute(tried.where(_ATTEMPT.c.delivery_id.in_(ids))).all()
    archive.keep("attempt", attempts)
    archive.keep("delivery", deliveries)


def delete_ended(session: Session, wanted: sa.ColumnElement[bool]) -> int:
    """Delete those that have ended, with their tries, and remember it; return how many.

    What another process works on is left to it: one that is asked for again is pending then."""
    rows = session.execute(
        sa.select(_DELIVERY.c.id, _DELIVERY.c.msn, _DELIVERY.c.settled_at)
        .where(wanted, _DELIVERY.c.settled_at.is_not(None))
        .with_for_update(skip_locked=True)
    ).all()
    ids = [row.id for row in rows]
    session.execute(sa.delete(_ATTEMPT).where(_ATTEMPT.c.delivery_id.in_(ids)))
    session.execute(sa.delete(_DELIVERY).where(_DELIVERY.c.id.in_(ids)))
    for msn, settled_at in last_by_unit(rows, "settled_at").items():
        note_gone(session, msn, settled_at=settled_at)
    return len(ids)
