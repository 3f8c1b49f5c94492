"""The schema's version: brought up to date, or told to be old."""

from collections.abc import Sequence
from functools import cache

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from service.errors import SchemaOutdated
from service.store.db import LOCK_TIMEOUT_MS, Database

# Processes that start at once on one PostgreSQL migrate one after the other.
_MIGRATION_LOCK = 0x62657461


def migrate(database: Database) -> None:
    """Bring the database to this version's schema; doing it again changes nothing.

    Raises: DatabaseAway."""
    with database.migration() as connection:
        if not database.is_sqlite:
            # Another process may migrate for minutes, and so may we. Once it is our turn, the
            # usual limit on waiting for a lock keeps a migration from stopping the service.
            connection.execute(sa.text("SET LOCAL statement_timeout = 0"))
            connection.execute(sa.text("SET LOCAL lock_timeout = 0"))
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
            connection.execute(sa.text(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}"))
        if not _is_older(MigrationContext.configure(connection).get_current_revision()):
            return
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def require_current(database: Database) -> None:
    """Check that the database has this version's schema.

    Raises: SchemaOutdated, DatabaseAway."""
    # By the reading side: a probe that asks often must never wait for a writer.
    with database.snapshot() as session:
        found = MigrationContext.configure(session.connection()).get_current_revision()
    if _is_older(found):
        raise SchemaOutdated


def _is_older(found: str | None) -> bool:
    """Tell whether a revision is before this version's; one that it does not know comes after.

    What a newer version has added, this one lives beside (docs/how-to/upgrade.md): processes of
    both serve while one replaces the other, and the older may be started again."""
    return found is None or found in _revisions()[1:]


@cache
def _revisions() -> Sequence[str]:
    """Return this version's revisions, the newest first; read once, since probes ask often."""
    scripts = ScriptDirectory.from_config(_config())
    return [script.revision for script in scripts.walk_revisions()]


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "service.store:migrations")
    return config
