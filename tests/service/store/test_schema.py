"""The schema on disk: made by migrations, and exactly what the models say."""

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlmodel import SQLModel

from service.errors import DatabaseAway, SchemaOutdated
from service.store.db import Database
from service.store.schema import migrate, require_current
from tests.builders import ONLY_POSTGRESQL


def test_migrate_again_changes_nothing(database: Database) -> None:
    """Running the migration twice is running it once."""
    migrate(database)

    require_current(database)


def test_migrated_schema_is_what_the_models_say(database: Database) -> None:
    """Nothing that the code counts on is missing from a real database."""
    with database.snapshot() as session:
        context = MigrationContext.configure(session.connection(), opts={"compare_type": True})
        differences = compare_metadata(context, SQLModel.metadata)

    assert differences == []


def test_migrated_schema_has_every_check(database: Database) -> None:
    """The last guards against wrong money and wrong states are really there."""
    with database.snapshot() as session:
        found = sa.inspect(session.connection())
        for table in SQLModel.metadata.sorted_tables:
            checks = {check["name"] for check in found.get_check_constraints(table.name)}
            expected = {c.name for c in table.constraints if isinstance(c, sa.CheckConstraint)}
            assert checks == expected


@ONLY_POSTGRESQL
def test_older_schema_is_refused(database: Database) -> None:
    """A new version never works on yesterday's tables."""
    with database.transaction() as session:
        session.execute(sa.text("UPDATE alembic_version SET version_num = '0018'"))

    with pytest.raises(SchemaOutdated):
        require_current(database)


def test_newer_schema_is_lived_beside(database: Database) -> None:
    """While I upgrade, and when I go back, the version before works on what the next has added."""
    with database.transaction() as session:
        session.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))

    require_current(database)
    migrate(database)

    with database.snapshot() as session:
        assert (
            session.execute(sa.text("SELECT version_num FROM alembic_version")).scalar() == "9999"
        )


@ONLY_POSTGRESQL
def test_empty_database_is_refused(database: Database) -> None:
    """A database that was never migrated is told from one that is."""
    with database.transaction() as session:
        session.execute(sa.text("DROP TABLE alembic_version"))

    with pytest.raises(SchemaOutdated):
        require_current(database)


@pytest.mark.parametrize(
    "url", ["sqlite:////nowhere/at/all.db", "postgresql://nobody@127.0.0.1:1/none"]
)
def test_database_that_can_not_be_reached_is_told_so(url: str) -> None:
    """A wrong address is one clear error, before anything starts."""
    database = Database(url)

    with pytest.raises(DatabaseAway):
        migrate(database)
    with pytest.raises(DatabaseAway):
        require_current(database)
    database.dispose()
