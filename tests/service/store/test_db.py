"""The two ways to open a transaction, and what they promise."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from sqlalchemy import exc

from service.errors import DatabaseAway
from service.store.db import Database
from service.store.statements import insert_or_leave
from service.store.tables import Feed
from tests.builders import MSN, ONLY_POSTGRESQL, ONLY_SQLITE, a_context

_POSITION = sa.text("SELECT position FROM feed")
_ROUNDS = 25


def _feed(database: Database) -> int:
    with database.snapshot() as session:
        return int(session.execute(_POSITION).scalar_one())


@ONLY_SQLITE
def test_sqlite_is_durable_and_checks_foreign_keys(database: Database) -> None:
    """What was answered with 200 survives the power going out."""
    asked = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
    found = {}
    for name, opened in (("writer", database.transaction), ("reader", database.snapshot)):
        with opened() as session:
            found[name] = [session.execute(sa.text(f"PRAGMA {one}")).scalar() for one in asked]

    assert found["writer"] == found["reader"] == ["wal", 2, 1, 5000]


@ONLY_POSTGRESQL
def test_postgresql_lets_nothing_wait_for_ever(database: Database) -> None:
    """A statement, a lock and a forgotten transaction end by themselves (T43)."""
    asked = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")

    with database.snapshot() as session:
        found = [session.execute(sa.text(f"SHOW {one}")).scalar() for one in asked]

    assert found == ["30s", "8s", "30s"]


@ONLY_SQLITE
def test_read_then_write_by_two_processes_never_fails_as_locked(
    database: Database, database_url: str
) -> None:
    """Many who read and then write wait for each other, and none is lost."""
    a_context(database)
    other = Database(database_url)

    def count_up(own: Database) -> None:
        for _ in range(_ROUNDS):
            with own.transaction() as session:
                position = session.execute(_POSITION).scalar_one()
                session.execute(sa.text("UPDATE feed SET position = :p"), {"p": position + 1})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(count_up, [database, other, database, other]))
    other.dispose()

    assert _feed(database) == 4 * _ROUNDS


def test_transaction_that_fails_leaves_nothing(database: Database) -> None:
    """Half of a change is no change."""
    a_context(database)

    with pytest.raises(ZeroDivisionError), database.transaction() as session:
        session.execute(sa.text("UPDATE feed SET position = 7"))
        raise ZeroDivisionError

    assert _feed(database) == 0


def test_snapshot_shows_one_state(database: Database) -> None:
    """Two looks in one reading agree, whatever others commit between them."""
    a_context(database)
    with database.snapshot() as reading:
        before = reading.execute(_POSITION).scalar_one()
        with database.transaction() as session:
            session.execute(sa.text("UPDATE feed SET position = 7"))
        after = reading.execute(_POSITION).scalar_one()

    assert (before, after, _feed(database)) == (0, 0, 7)


def test_snapshot_can_not_write(database: Database) -> None:
    """What only reads changes nothing, not even by mistake."""
    a_context(database)

    with pytest.raises((exc.DBAPIError, DatabaseAway)), database.snapshot() as session:
        session.execute(sa.text("UPDATE feed SET position = 7"))

    assert _feed(database) == 0


def test_our_own_mistake_is_not_called_an_outage(database: Database) -> None:
    """A wrong row is a fault to find, not a reason to try again."""
    a_context(database)

    with pytest.raises(exc.IntegrityError), database.transaction() as session:
        session.execute(sa.insert(Feed).values(msn=MSN, position=0))


def test_error_text_holds_no_values(database: Database) -> None:
    """What people wrote does not reach a log by way of an error."""
    a_context(database)

    # SQLite calls a wrong statement an operational error, as if it were away.
    wrong_statement = pytest.raises((exc.DBAPIError, DatabaseAway))
    with wrong_statement as wrong, database.transaction() as session:
        session.execute(sa.text("UPDATE nowhere SET name = :name"), {"name": "Kari Nordmann"})

    assert "Kari" not in f"{wrong.value} {wrong.value.__cause__}"


def test_insert_or_leave_leaves_what_is_there(database: Database) -> None:
    """Making sure that a row exists changes none that does."""
    a_context(database)
    with database.transaction() as session:
        session.execute(sa.text("UPDATE feed SET position = 7"))

        insert_or_leave(session, Feed, {"msn": MSN, "position": 0})

    assert _feed(database) == 7


def test_waiting_for_a_row_makes_nobody_lose_a_write(database: Database) -> None:
    """Two who change the same row at once both count."""
    a_context(database)
    up = sa.text("UPDATE feed SET position = position + 1")
    together = threading.Barrier(4)

    def count_up(_: int) -> None:
        together.wait()
        for _ in range(_ROUNDS):
            with database.transaction() as session:
                session.execute(up)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(count_up, range(4)))

    assert _feed(database) == 4 * _ROUNDS
