"""The schema's version: brought up to date, or told to be old."""

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
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def require_current(database: Database) -> None:
    """Check that the database has this version's schema.

    Raises: SchemaOutdated, DatabaseAway."""
    # By the reading side: a probe that asks often must never wait for a writer.
    with database.snapshot() as session:
        found = MigrationContext.configure(session.connection()).get_current_revision()
    if found != ScriptDirectory.from_config(_config()).get_current_head():
        raise SchemaOutdated


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "service.store:migrations")
    return config
