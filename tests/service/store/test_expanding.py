"""Migrations only add: the version before goes on, reading and writing, on what the next one made.

The rule, and when something may be taken away, stand in docs/how-to/upgrade.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

CONFIG = Config()
CONFIG.set_main_option("script_location", "service.store:migrations")
REVISIONS = [one.revision for one in ScriptDirectory.from_config(CONFIG).walk_revisions()][::-1]

Schema = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Step:
    """The schema before and after one migration."""

    revision: str
    before: Schema
    after: Schema


def schema_of(connection: sa.Connection) -> Schema:
    """Return each table's columns by name."""
    found = sa.inspect(connection)
    return {
        table: {column["name"]: column for column in found.get_columns(table)}
        for table in found.get_table_names()
    }


@pytest.fixture(scope="module")
def steps() -> list[Step]:
    """Migrate an empty database, one revision at a time."""
    made = []
    engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool)
    with engine.connect() as connection:
        CONFIG.attributes["connection"] = connection
        for revision in REVISIONS:
            before = schema_of(connection)
            command.upgrade(CONFIG, revision)
            made.append(Step(revision, before, schema_of(connection)))
    engine.dispose()
    assert "invoice" in made[-1].after
    return made


def test_migration_takes_nothing_away(steps: list[Step]) -> None:
    """What the version before reads is still there."""
    gone = [
        (step.revision, table, name)
        for step in steps
        for table, columns in step.before.items()
        for name in columns
        if name not in step.after.get(table, {})
    ]

    assert gone == []


def test_migration_demands_nothing_that_the_version_before_does_not_write(
    steps: list[Step],
) -> None:
    """A new column in a table of before may be empty, or has a default; none of old is stricter."""
    demanded = [
        (step.revision, table, name)
        for step in steps
        for table, columns in step.before.items()
        for name, column in step.after.get(table, {}).items()
        if not column["nullable"]
        and column["default"] is None
        and columns.get(name, {"nullable": True})["nullable"]
    ]

    assert demanded == []
