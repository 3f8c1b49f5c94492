"""A PostgreSQL database that was read in from a dump is known as such, once."""

from uuid import uuid4

import psycopg
import sqlalchemy as sa
from psycopg import sql

from service.store.db import Database
from service.store.home import has_moved
from tests.builders import ONLY_POSTGRESQL


def _asked(database: Database, times: int) -> list[bool]:
    found = []
    for _ in range(times):
        with database.transaction() as session:
            found.append(has_moved(session))
    return found


@ONLY_POSTGRESQL
def test_copy_of_a_database_is_told_from_what_it_is_a_copy_of(
    database: Database, database_url: str, postgres_url: str
) -> None:
    """Where it was made it is at home for ever; elsewhere it is not, until it has settled in."""
    at_home = _asked(database, 2)
    database.dispose()
    name, source = f"copy_{uuid4().hex}", str(sa.make_url(database_url).database)
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        made = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        connection.execute(made.format(sql.Identifier(name), sql.Identifier(source)))
        url = sa.make_url(postgres_url).set(database=name)
        copy = Database(url.render_as_string(hide_password=False))
        elsewhere = _asked(copy, 2)
        copy.dispose()
        connection.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(name)))

    assert at_home == [False, False]
    assert elsewhere == [True, False]
    assert _asked(database, 1) == [False]
