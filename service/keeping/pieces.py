"""How much goes at a time, and how it is remembered what has gone."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session

from service.store.inserts import table_of, upsert_into
from service.store.tables import LetGo

# A short commit, and a pause in which all others have the database: a log of
# millions is gone within the hour, and nobody has noticed.
AT_ONCE = 500

_LET_GO = table_of(LetGo)


@dataclass(frozen=True, slots=True)
class Piece:
    """What one look has come to: how many rows are gone, and whether there may be more."""

    count: int = 0
    has_more: bool = False


def note_gone(
    session: Session,
    msn: str,
    *,
    position: int = 0,
    told_at: datetime | None = None,
    settled_at: datetime | None = None,
) -> None:
    """Remember what has gone of a sales unit; what is known already only ever moves on."""
    row = {"msn": msn, "position": position, "told_at": told_at, "settled_at": settled_at}
    insert = upsert_into(session, LetGo).values(row)
    changed = {name: _later(_LET_GO.c[name], insert.excluded[name]) for name in row}
    del changed["msn"]
    session.execute(insert.on_conflict_do_update(index_elements=[_LET_GO.c.msn], set_=changed))


def _later(known: sa.ColumnElement[Any], new: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    return sa.case(
        (sa.or_(known.is_(None), new > known), sa.func.coalesce(new, known)), else_=known
    )


def last_by_unit(rows: Sequence[sa.Row[Any]], name: str) -> dict[str, Any]:
    """Return the greatest value of a column for each sales unit, by MSN in one order for all."""
    found: dict[str, Any] = {}
    for row in sorted(rows, key=lambda each: (each.msn, each._mapping[name])):
        found[row.msn] = row._mapping[name]
    return found
