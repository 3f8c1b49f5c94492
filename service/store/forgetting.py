"""Deleting what is old, in pieces: for tables whose rows are kept for a time only."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session


def forget_older(session: Session, at: sa.Column[datetime], *, before: datetime, limit: int) -> int:
    """Delete the oldest rows whose `at` is before an instant, so many at most; return how many.

    What another process is deleting is left to it. `at` needs an index."""
    table: Any = at.table
    key = tuple(table.primary_key)
    oldest = sa.select(*key).where(at < before).order_by(at).limit(limit)
    named = sa.tuple_(*key) if len(key) > 1 else key[0]
    these = named.in_(oldest.with_for_update(skip_locked=True))
    return len(session.execute(sa.delete(table).where(these).returning(*key)).all())
