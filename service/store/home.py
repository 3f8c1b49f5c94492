"""Where PostgreSQL has a database: one that was read in from a dump is known by it.

A server has a number of its own, and gives one to each database and each table that it makes. What
keeps them all can't be told from what was never away: a base backup, a copy of the disk. A promoted
standby keeps them, too, and goes on by itself.
"""

import sqlalchemy as sa
from sqlalchemy import exc
from sqlmodel import Session, col

from service.store.statements import insert_or_leave
from service.store.tables import Home

_SERVER = sa.text("SELECT system_identifier FROM pg_control_system()")
_DATABASE = sa.text(
    "SELECT oid, 'sales_unit'::regclass::oid FROM pg_database WHERE datname = current_database()"
)


def has_moved(session: Session) -> bool:
    """Tell, once, whether this database is another one than that which it says it is.

    At the first start it is told where it is. Of several processes, one is told yes."""
    here = _place(session)
    known = session.execute(sa.select(col(Home.place))).scalar()
    if known is None:
        insert_or_leave(session, Home, {"place": here})
        return False
    if known == here:
        return False
    moved = sa.update(Home).where(col(Home.place) == known).values(place=here)
    found = session.execute(moved.returning(col(Home.place)))
    return found.first() is not None


def _place(session: Session) -> str:
    database, table = session.execute(_DATABASE).one()
    return f"{_server(session)}:{database}:{table}"


def _server(session: Session) -> str:
    try:
        with session.begin_nested():
            return str(session.execute(_SERVER).scalar_one())
    except exc.DBAPIError:  # somebody else's PostgreSQL, which does not say
        return ""
