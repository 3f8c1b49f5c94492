"""One PostgreSQL database with our schema for test after test: a new one takes far longer."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import psycopg
import sqlalchemy as sa
from psycopg import sql

# System catalogs have lower ones.
_FIRST_OID_OF_OURS = 16_384
_TABLES = """
    SELECT relname FROM pg_class
    WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relname <> 'alembic_version'
    ORDER BY relname
"""
# What a change of the schema, or of what is said of it, or an ANALYZE leaves behind.
_SHAPE = f"""
    SELECT count(*), max(xmin::text::bigint),
           (SELECT string_agg(version_num, ' ') FROM alembic_version),
           (SELECT count(*) FROM pg_trigger WHERE tgrelid >= {_FIRST_OID_OF_OURS}),
           (SELECT count(*) FROM pg_constraint WHERE conrelid >= {_FIRST_OID_OF_OURS}),
           (SELECT count(*) FROM pg_statistic WHERE starelid >= {_FIRST_OID_OF_OURS})
    FROM pg_attribute WHERE attrelid >= {_FIRST_OID_OF_OURS}
"""  # noqa: S608 - a constant
_DELETE = sql.SQL("DELETE FROM {}")


class ReusedDatabase:
    """A copy of a template, emptied after each test; made anew where a test left another schema."""

    def __init__(self, server: psycopg.Connection, url: str, template: str) -> None:
        """Take a connection to the server that commits each statement, and the server's URL."""
        self._server = server
        self._url = sa.make_url(url)
        self._template = template
        self._spare: str | None = None

    @contextmanager
    def given(self) -> Iterator[str]:
        """Give its URL under a new name, so that who still uses the last one finds nothing."""
        name = f"test_{uuid4().hex}"
        if self._spare is None:
            made = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
            self._server.execute(made.format(sql.Identifier(name), sql.Identifier(self._template)))
            self._shape = self._emptied(name)
        else:
            renamed = sql.SQL("ALTER DATABASE {} RENAME TO {}")
            self._server.execute(renamed.format(sql.Identifier(self._spare), sql.Identifier(name)))
        yield self._named(name)
        self._end_sessions(name)
        self._spare = name
        if self._emptied(name) != self._shape:
            self._server.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(name)))
            self._spare = None

    def _emptied(self, name: str) -> object:
        """Leave no row in any table; return what is to be compared of its shape."""
        with psycopg.connect(self._named(name), autocommit=True) as connection:
            tables = [sql.Identifier(table) for (table,) in connection.execute(_TABLES)]
            # Not by TRUNCATE, which makes all files anew. A replica checks no references.
            connection.execute("SET session_replication_role = replica")
            connection.execute(sql.SQL("; ").join(map(_DELETE.format, tables)))
            return connection.execute(_SHAPE).fetchone()

    def _end_sessions(self, name: str) -> None:
        ended = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s"
        self._server.execute(ended, (name,))

    def _named(self, name: str) -> str:
        return self._url.set(database=name).render_as_string(hide_password=False)
