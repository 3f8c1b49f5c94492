"""How a database does what it is asked: every statement of a stretch of work, and its plan."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from service.store.db import Database

Statement = tuple[str, Any]

_PLANNED = ("SELECT", "UPDATE", "DELETE")


@contextmanager
def statements(database: Database) -> Iterator[Sequence[Statement]]:
    """Note every statement, each once."""
    ran: dict[str, Any] = {}

    def note(_c: Any, _cursor: Any, statement: str, given: Any, _context: Any, many: bool) -> None:
        if statement.startswith(_PLANNED):
            ran[statement] = given[0] if many else given

    found: list[Statement] = []
    engines = (database._writer, database._reader)
    for engine in engines:
        sa.event.listen(engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        for engine in engines:
            sa.event.remove(engine, "before_cursor_execute", note)
        found += ran.items()


def plan_of(database: Database, statement: str, given: Any) -> str:
    """Return how the database does it; PostgreSQL reads a small table whole if it is let."""
    explain = "EXPLAIN QUERY PLAN " if database.is_sqlite else "EXPLAIN "
    with database.transaction() as session:
        if not database.is_sqlite:
            session.execute(sa.text("SET LOCAL enable_seqscan = off"))
        rows = session.connection().exec_driver_sql(explain + statement, given).all()
    return "\n".join(str(row[-1]) for row in rows)
