"""Letting go of the bodies of Vipps's events, which stay otherwise: outcome, amount and hash."""

from datetime import timedelta

import sqlalchemy as sa

from service.context import Context
from service.keeping.archive import Archive
from service.keeping.ends import ended_before
from service.keeping.pieces import AT_ONCE, Piece
from service.store.inserts import table_of
from service.store.tables import StoredVippsEvent
from statemachine import Outcome

_EVENT = table_of(StoredVippsEvent)

# In the words of the index, which serves no statement that leaves the number open.
_HAS_BODY = sa.func.length(_EVENT.c.raw) > sa.literal_column("0")


def forget_bodies(context: Context, archive: Archive, kept_for: timedelta) -> Piece:
    """Empty a piece of the old events of invoices that are at an end, and of those of none.

    One that came too early keeps its body, for it has not been judged to the end; so does what
    contradicts an invoice that goes on. Raises: DatabaseAway, ArchiveAway."""
    before = context.clock.business_now() - kept_for
    may_go = sa.and_(
        _HAS_BODY,
        _EVENT.c.received_at < before,
        _EVENT.c.outcome != Outcome.EARLY,
        sa.or_(_EVENT.c.invoice_id.is_(None), ended_before(_EVENT.c.invoice_id, before)),
    )
    oldest = sa.select(_EVENT).where(may_go).order_by(_EVENT.c.received_at).limit(AT_ONCE)
    with context.database.snapshot() as session:
        rows = session.execute(oldest).all()
    archive.keep("vipps_event", rows)
    with context.database.transaction() as session:
        still = sa.select(_EVENT.c.id).where(_EVENT.c.id.in_([row.id for row in rows]), may_go)
        emptied = session.execute(
            sa.update(_EVENT)
            .where(_EVENT.c.id.in_(still.with_for_update(skip_locked=True)))
            .values(raw=b"", headers=None)
            .returning(_EVENT.c.id)
        ).all()
    return Piece(len(emptied), has_more=len(rows) == AT_ONCE)
