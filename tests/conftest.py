"""What every test may ask for: a fresh database, on SQLite and on PostgreSQL 18."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from service.store.db import Database
from service.store.schema import migrate
from tests.postgresql import Server, running_server
from tests.written import WRITTEN

# For international addresses, of which no schema of ours has any, jsonschema would make dozens of
# grammars, for seconds, in each process that tests.
sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]

KINDS = ("sqlite", "postgresql")

# A machine that others use, too, is slow at times: no test is about how long an example takes.
settings.register_profile(
    "patient", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("patient")

# Begun last, as their names would have it, they keep one worker busy while the other has no more.
_LONG = ("test_docs_run.py", "test_histories.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest; all others stay in their order."""
    items.sort(key=lambda item: item.path.name not in _LONG)


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
def postgres() -> Iterator[Server]:
    """Run one PostgreSQL 18 for all tests of this process, with a template of our schema."""
    with running_server() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_url(postgres: Server) -> str:
    """Return where that server is, for who makes databases there."""
    return postgres.url


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make one file with our schema, to be copied: making it anew takes a quarter of a second."""
    path = tmp_path_factory.mktemp("template") / "betalbar.db"
    template = Database(f"sqlite:///{path}")
    migrate(template)
    template.dispose()
    return path


@contextmanager
def fresh_database(request: pytest.FixtureRequest, folder: Path) -> Iterator[str]:
    """Give a database with our schema and no rows, of the kind that is the request's parameter."""
    if request.param == "sqlite":
        path = folder / "betalbar.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        yield f"sqlite:///{path}"
        return
    server: Server = request.getfixturevalue("postgres")
    with server.database() as url:
        yield url


@pytest.fixture(params=KINDS)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Give a database with our schema and no rows; the test runs once on each kind."""
    with fresh_database(request, tmp_path) as url:
        yield url


@pytest.fixture
def empty_postgres_url(postgres: Server) -> Iterator[str]:
    """Give a PostgreSQL database in which nothing was made yet."""
    with postgres.empty_database() as url:
        yield url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """Open that database, and close it afterwards."""
    opened = Database(database_url)
    yield opened
    opened.dispose()
