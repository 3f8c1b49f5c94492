"""A minute in which everything is dead, without waiting for it.

What waits on time after many kills waits for the end of a lease, or for Vipps's limit on
writes, which tries that were cut off use up, too. The database's own instants are moved back
instead, while no process runs that could notice.
"""

from typing import Any

import sqlalchemy as sa

from tests.flows.stack import Stack

# The longest of the waits: the window in which calls are counted (70 s), and a little.
_MINUTE_S = 75
_WAITING = (
    ("command", "next_attempt_at", "status IN ('waiting', 'running')"),
    ("command_attempt", "started_at", "true"),
    ("delivery", "next_attempt_at", "status = 'pending'"),
    # When the next of its deliveries is due.
    ("subscription", "ready_at", "ready_at IS NOT NULL"),
)


def pass_a_minute(stack: Stack) -> None:
    """Kill all, let their leases and limits run out, and start all again."""
    for child in [*stack.service, stack.sandbox]:
        child.kill()
    _move_back(stack.database_url)
    # Vipps counts calls in its memory alone; what happened is in its file.
    stack.sandbox.start()
    stack.sandbox.wait_ready("/sandbox/clock")
    for child in stack.service:
        child.start()
    for child in stack.service:
        child.wait_ready("/readyz")


def _move_back(database_url: str) -> None:
    url = sa.make_url(database_url)
    is_sqlite = url.get_backend_name() == "sqlite"
    engine = sa.create_engine(url if is_sqlite else url.set(drivername="postgresql+psycopg"))
    with engine.begin() as connection:
        for table, column, condition in _WAITING:
            at: sa.ColumnClause[Any] = sa.column(column)
            earlier: sa.ColumnElement[str] = (
                # As the service writes it: microseconds, no zone.
                sa.func.strftime("%Y-%m-%d %H:%M:%f000", at, f"-{_MINUTE_S} seconds")
                if is_sqlite
                else at - sa.text(f"interval '{_MINUTE_S} seconds'")
            )
            moved = (
                sa.update(sa.table(table, at)).where(sa.text(condition)).values({column: earlier})
            )
            connection.execute(moved)
    engine.dispose()
