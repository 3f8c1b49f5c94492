"""Stacks of real processes: one per kind of database for all stories, fresh ones for outages."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
import sqlalchemy as sa
from psycopg import sql

from tests.flows.stack import Shop, Stack, running


@pytest.fixture(scope="package", params=["sqlite", "postgresql"])
def stack(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """Run the service for many stories: one process on SQLite, two on one PostgreSQL."""
    folder = tmp_path_factory.mktemp(f"flows-{request.param}")
    if request.param == "sqlite":
        with running(folder, f"sqlite:///{folder / 'betalbar.db'}", by_commands=True) as made:
            yield made
        return
    server_url = request.getfixturevalue("postgres_url")
    with (
        empty_database(server_url) as url,
        running(folder, url, processes=2, by_commands=True) as made,
    ):
        yield made


@pytest.fixture
def shop(stack: Stack) -> Iterator[Shop]:
    """Subscribe a merchant's endpoint to everything."""
    opened = stack.subscribe()
    yield opened
    opened.served.stop()


@pytest.fixture
def lonely(tmp_path: Path, database_url: str) -> Iterator[Stack]:
    """Run a stack of its own, for what would disturb others; as many processes as may be."""
    processes = 1 if database_url.startswith("sqlite") else 2
    with running(tmp_path, database_url, processes=processes) as made:
        yield made


@contextmanager
def empty_database(server_url: str) -> Iterator[str]:
    """Give a new database of that server without any table, and drop it afterwards."""
    name = f"flows_{uuid4().hex}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield sa.make_url(server_url).set(database=name).render_as_string(hide_password=False)
        dropped = sql.SQL("DROP DATABASE {} WITH (FORCE)")
        connection.execute(dropped.format(sql.Identifier(name)))
