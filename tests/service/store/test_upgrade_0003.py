"""A database of the version before is brought to this one, with everything in it."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from psycopg import sql
from sqlmodel import SQLModel

from service.store.db import Database
from service.store.schema import _config, migrate, require_current
from service.store.tables import RefusedWebhook, Registration, SalesUnit


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """Give a database in which nothing was made yet, of each kind."""
    if request.param == "sqlite":
        database = Database(f"sqlite:///{tmp_path / 'old.db'}")
        yield database
        database.dispose()
        return
    server_url, name = request.getfixturevalue("postgres_url"), f"old_{uuid4().hex}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        url = sa.make_url(server_url).set(database=name)
        database = Database(url.render_as_string(hide_password=False))
        yield database
        database.dispose()
        dropped = sql.SQL("DROP DATABASE {} WITH (FORCE)")
        connection.execute(dropped.format(sql.Identifier(name)))


def upgrade_to(database: Database, revision: str) -> None:
    """Bring an empty database to an older version's schema."""
    with database.migration() as connection:
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


_UNIT = (
    "INSERT INTO sales_unit (msn, name, organisation_number, contact_url, terms_of_sale_url,"
    " privacy_policy_url, currency, soft_dismiss_after_s, max_payment_lifetime_s,"
    " push_again_after_s, max_pushes, quiet_hours, created_at) VALUES ('123456', 'Acme', '9', 'c',"
    " 't', 'p', 'NOK', 1, 1, 1, 1, '', '2026-11-22 10:00:00+00:00')"
)
_REGISTRATION = (
    "INSERT INTO registration (id, msn, url, vipps_id, secret, made_by, created_at)"
    " VALUES ('reg_1', '123456', 'https://pay.example/x', 'v1', :secret, 'register',"
    " '2026-11-22 10:00:00+00:00')"
)


def test_upgrade_from_0002_keeps_registrations_and_has_them_checked(empty: Database) -> None:
    """My registration and its secret are there after the upgrade, and due to be looked at."""
    upgrade_to(empty, "0002")
    with empty.migration() as connection:
        connection.execute(sa.text(_UNIT))
        connection.execute(sa.text(_REGISTRATION), {"secret": b"sealed"})

    migrate(empty)

    require_current(empty)
    with empty.snapshot() as session:
        unit, row = session.get(SalesUnit, "123456"), session.get(Registration, "reg_1")
        assert unit is not None and unit.registrations_due_at is None
        assert row is not None and bytes(row.secret) == b"sealed"
        assert (row.delete_after, row.missing_since, row.retired_at) == (None, None, None)
        assert session.get(RefusedWebhook, "none") is None


def test_upgrade_makes_what_the_tables_declare(empty: Database) -> None:
    """An upgraded database and a new one are the same."""
    migrate(empty)

    with empty.migration() as connection:
        context = MigrationContext.configure(connection)
        ours = {"registration", "sales_unit", "refused_webhook"}
        differences = [d for d in compare_metadata(context, SQLModel.metadata) if _of(d) in ours]

    assert differences == []


def _of(difference: object) -> str:
    found = [part for part in _parts(difference) if isinstance(part, sa.Table)]
    named = [part for part in _parts(difference) if isinstance(part, str)]
    return found[0].name if found else next((n for n in named if "_" in n or n.isalpha()), "")


def _parts(difference: object) -> list[object]:
    return list(difference) if isinstance(difference, tuple) else []
