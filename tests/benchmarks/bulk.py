"""Rows by the hundred thousand: the drivers' own quickest ways in, one transaction per call."""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from typing import Any, Protocol

import orjson
import psycopg
import sqlalchemy as sa
from psycopg import sql

Values = list[Any]
Tables = Mapping[str, Sequence[Values]]
Columns = Mapping[str, tuple[str, ...]]


class Writer(Protocol):
    """A connection that takes many rows at once."""

    def model(self, table: str, invoice_id: str) -> tuple[tuple[str, ...], list[Values]]:
        """Return a table's columns, and its rows of one invoice as the driver takes them."""

    def write(self, columns: Columns, rows: Tables, *, events: int) -> None:
        """Store rows, and move the only sales unit's feed on by so many events."""

    def position(self) -> int:
        """Return the last position of the feed."""

    def alone(self) -> AbstractContextManager[object]:
        """Keep the feed to oneself for a block, once its position is known."""


class SqliteWriter:
    """SQLite's: prepared statements in one transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Take a connection of one's own."""
        self._connection = connection

    def model(self, table: str, invoice_id: str) -> tuple[tuple[str, ...], list[Values]]:
        """Return columns and rows."""
        key = "id" if table == "invoice" else "invoice_id"
        found = self._connection.execute(
            f"SELECT * FROM {table} WHERE {key} = ? ORDER BY rowid",  # noqa: S608 - our own names
            (invoice_id,),
        )
        return tuple(c[0] for c in found.description), [list(row) for row in found]

    def write(self, columns: Columns, rows: Tables, *, events: int) -> None:
        """Store rows."""
        with self._connection as connection:
            for table, values in rows.items():
                names, marks = ", ".join(columns[table]), ", ".join("?" * len(columns[table]))
                connection.executemany(
                    f"INSERT INTO {table} ({names}) VALUES ({marks})",  # noqa: S608
                    values,
                )
            connection.execute("UPDATE feed SET position = position + ?", (events,))

    def position(self) -> int:
        """Return the last position."""
        return int(self._connection.execute("SELECT max(position) FROM feed").fetchone()[0])

    def alone(self) -> AbstractContextManager[object]:
        """Keep nothing: on SQLite the pile is made before the service has anything in hand."""
        return nullcontext()


class PostgresWriter:
    """PostgreSQL's: COPY."""

    def __init__(self, connection: psycopg.Connection) -> None:
        """Take a connection of one's own."""
        self._connection = connection

    def model(self, table: str, invoice_id: str) -> tuple[tuple[str, ...], list[Values]]:
        """Return columns and rows."""
        key = "id" if table == "invoice" else "invoice_id"
        # Not by place alone: one that was freed is used again.
        query = sql.SQL("SELECT * FROM {} WHERE {} = %s ORDER BY xmin::text::bigint, ctid")
        found = self._connection.execute(
            query.format(sql.Identifier(table), sql.Identifier(key)), (invoice_id,)
        )
        columns = tuple(c.name for c in found.description or ())
        return columns, [[_plain(value) for value in row] for row in found]

    def write(self, columns: Columns, rows: Tables, *, events: int) -> None:
        """Store rows."""
        with self._connection.transaction(), self._connection.cursor() as cursor:
            for table, values in rows.items():
                names = sql.SQL(", ").join(map(sql.Identifier, columns[table]))
                copy_in = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table), names)
                with cursor.copy(copy_in) as copy:
                    for row in values:
                        copy.write_row(row)
            cursor.execute("UPDATE feed SET position = position + %s", (events,))

    def position(self) -> int:
        """Return the last position."""
        # Locked until the end of `alone`: what the service still has in hand comes after it.
        found = self._connection.execute("SELECT position FROM feed FOR UPDATE").fetchall()
        return max((int(row[0]) for row in found), default=0)

    def alone(self) -> AbstractContextManager[object]:
        """Keep the feed's row."""
        return self._connection.transaction()


def _plain(value: Any) -> Any:
    """Return JSON as text, which COPY takes; everything else as it is."""
    return orjson.dumps(value).decode() if isinstance(value, dict | list) else value


@contextmanager
def bulk_writer(database_url: str) -> Iterator[Writer]:
    """Open a database for many rows; it is none that anybody would miss after a power cut."""
    url = sa.make_url(database_url)
    if url.get_backend_name() == "sqlite":
        with closing(sqlite3.connect(str(url.database), timeout=30)) as connection:
            connection.execute("PRAGMA synchronous=OFF")
            connection.execute("PRAGMA cache_size=-262144")
            yield SqliteWriter(connection)
    else:
        with psycopg.connect(database_url, autocommit=True) as postgres:
            postgres.execute("SET synchronous_commit = off")
            yield PostgresWriter(postgres)
