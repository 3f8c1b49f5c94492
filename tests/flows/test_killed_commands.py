"""Killed (SIGKILL) in the middle of `migrate` (K13), and of `backup` or `restore` (K16).

Afterwards there is the old or the new and nothing in between, and the same command does it.
"""

import base64
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from signal import SIGKILL

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlmodel import SQLModel

from service.store.db import Database
from tests.flows.conftest import empty_database
from tests.flows.forked import KILLED_AT
from tests.flows.processes import DEADLINE_S, FORKED, Child, clean_environment
from tests.service.store.test_upgrade_0003 import _UNIT, upgrade_to

REFERENCE = "in-the-backup"


@dataclass(frozen=True, slots=True)
class Desk:
    """A folder in which commands are typed, with keys that open what is in it."""

    folder: Path
    keys: str = base64.urlsafe_b64encode(os.urandom(32)).decode()

    def run(self, *words: str, database_url: str = "sqlite:///betalbar.db") -> int:
        """Type a command, and return how it ended."""
        settings = {"BETALBAR_DATABASE_URL": database_url, "BETALBAR_MASTER_KEYS": self.keys}
        child = Child("typed", [FORKED, *words], clean_environment(**settings), self.folder)
        child.start()
        assert child.process is not None
        return child.process.wait(DEADLINE_S)

    def is_killed(self, point: str, at: str, *words: str, **how: str) -> bool:
        """Type a command that dies there; tell whether it did."""
        return self.run(KILLED_AT, point, at, *words, **how) == -SIGKILL

    def references(self, name: str) -> list[str]:
        """Return the invoices in a file, which must be sound."""
        with closing(sqlite3.connect(self.folder / name)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            return [row[0] for row in connection.execute("SELECT reference FROM invoice")]

    def is_marked(self, name: str) -> bool:
        """Tell whether every sales unit in a file is recovering."""
        with closing(sqlite3.connect(self.folder / name)) as connection:
            found = connection.execute("SELECT recovering_since IS NOT NULL FROM sales_unit")
            return [row[0] for row in found] == [1]

    def left_behind(self) -> list[str]:
        """Return the names of drafts."""
        return [file.name for file in self.folder.glob("*.draft*")]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """Give a folder with a database in it, and a backup of it."""
    made = Desk(tmp_path_factory.mktemp("killed"))
    sent = ("invoices", "send", "100", "--reference", REFERENCE, "--to", "4791234567")
    assert made.run(*sent) == 0
    assert made.run("backup", "whole.db") == 0
    return made


@pytest.mark.parametrize("at", ["copying", "naming", "named"])
def test_k16_backup_that_is_killed_is_no_backup_or_a_whole_one(desk: Desk, at: str) -> None:
    """What has the name that I gave it can be restored; what was cut off never has that name."""
    name = f"{at}.db"

    assert desk.is_killed("K16", at, "backup", name)

    is_there = (desk.folder / name).exists()
    assert is_there == (at == "named")
    assert desk.left_behind() != []
    assert desk.run("backup", name) == (1 if is_there else 0)
    assert desk.references(name) == [REFERENCE]
    assert desk.left_behind() == []


@pytest.mark.parametrize(
    ("point", "at"),
    [("K16", "copying"), ("K13", "recovering_since="), ("K16", "naming"), ("K16", "named")],
)
def test_k16_restore_that_is_killed_leaves_no_database_or_one_in_recovery(
    desk: Desk, point: str, at: str
) -> None:
    """Nobody can serve from what is half restored, or from yesterday without knowing that it is."""
    name = f"restored-{at.strip('=')}.db"
    url = f"sqlite:///{name}"

    assert desk.is_killed(point, at, "restore", "whole.db", database_url=url)

    is_there = (desk.folder / name).exists()
    assert is_there == (at == "named")
    assert desk.left_behind() != []
    assert desk.run("restore", "whole.db", database_url=url) == (1 if is_there else 0)
    assert desk.references(name) == [REFERENCE]
    assert desk.is_marked(name)
    assert desk.left_behind() == []


@pytest.fixture(params=["sqlite", "postgresql"])
def old_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Give a database with an older schema and a sales unit in it."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'old.db'}"
        _make_old(url)
        yield url
        return
    with empty_database(request.getfixturevalue("postgres_url")) as url:
        _make_old(url)
        yield url


def _make_old(url: str) -> None:
    database = Database(url)
    upgrade_to(database, "0020")
    with database.transaction() as session:
        session.execute(sa.text(_UNIT))
    database.dispose()


def test_k13_migration_that_is_killed_leaves_the_old_schema_and_goes_on(
    desk: Desk, old_url: str
) -> None:
    """The version that I had serves from it as before, and the next try brings the new one."""
    before = _schema(old_url)

    for at in ("CREATE TABLE unread", "UPDATE alembic_version", "COMMIT"):
        assert desk.is_killed("K13", at, "migrate", database_url=old_url)
        assert _schema(old_url) == before
    ended = desk.run("migrate", database_url=old_url)

    assert (ended, before[0]) == (0, "0020")
    assert _schema(old_url)[1:] == (1, [])


def _schema(url: str) -> tuple[str, int, list[str]]:
    """Return a database's version, how many sales units it has, and what it lacks of today's."""
    database = Database(url)
    try:
        with database.snapshot() as session:
            context = MigrationContext.configure(session.connection())
            lacks = [str(one[0]) for one in compare_metadata(context, SQLModel.metadata)]
            units = session.execute(sa.text("SELECT count(*) FROM sales_unit")).scalar_one()
            return str(context.get_current_revision()), units, lacks
    finally:
        database.dispose()
