"""Everything the sandbox knows: in memory, and written through to a SQLite file.

A transaction writes all its rows before memory changes and before any answer leaves,
so a process killed at any instant has lost nothing it has told anybody.
"""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import orjson

T = TypeVar("T")

Encode = Callable[[Any], Any]

_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS row"
    " (kind TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY (kind, key))"
    " WITHOUT ROWID"
)


@dataclass(slots=True)
class Table(Generic[T]):
    """Hold the rows of one kind by their key, in the order they were added."""

    kind: str
    encode: Callable[[T], Any]
    decode: Callable[[Any], T]
    rows: dict[str, T] = field(default_factory=dict)

    def get(self, key: str) -> T | None:
        """Return the row of that key, or None."""
        return self.rows.get(key)


class Transaction:
    """Collect changes; nothing of them holds until `commit`."""

    def __init__(self, store: "Store") -> None:
        self._store = store
        self._puts: list[tuple[Table[Any], str, Any]] = []
        self._deletes: list[tuple[Table[Any], str]] = []

    def put(self, table: Table[T], key: str, *, row: T) -> None:
        """Have this row replace the one of the same key."""
        self._puts.append((table, key, row))

    def delete(self, table: Table[T], key: str) -> None:
        """Have the row of that key gone."""
        self._deletes.append((table, key))

    def commit(self) -> None:
        """Make all changes hold together, on disk first."""
        self._store.write(self._puts, self._deletes)
        for table, key, row in self._puts:
            table.rows[key] = row
        for table, key in self._deletes:
            table.rows.pop(key, None)


class Store:
    """Keep tables in memory and, if a path is given, in a file that outlives the process."""

    def __init__(self, path: Path | None) -> None:
        self._connection = None if path is None else _open(path)

    def table(
        self, kind: str, encode: Callable[[T], Any], *, decode: Callable[[Any], T]
    ) -> Table[T]:
        """Return the table of that kind with the rows the file holds."""
        table = Table(kind, encode, decode)
        if self._connection is not None:
            query = "SELECT key, value FROM row WHERE kind = ? ORDER BY key"
            for key, value in self._connection.execute(query, (kind,)):
                table.rows[key] = decode(orjson.loads(value))
        return table

    def begin(self) -> Transaction:
        """Return an empty transaction."""
        return Transaction(self)

    def write(
        self, puts: list[tuple[Table[Any], str, Any]], deletes: list[tuple[Table[Any], str]]
    ) -> None:
        """Put these changes on disk in one database transaction."""
        if self._connection is None:
            return
        rows = [(t.kind, key, orjson.dumps(t.encode(row))) for t, key, row in puts]
        gone = [(t.kind, key) for t, key in deletes]
        with self._connection as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("REPLACE INTO row VALUES (?, ?, ?)", rows)
            connection.executemany("DELETE FROM row WHERE kind = ? AND key = ?", gone)

    def close(self) -> None:
        """Let go of the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _open(path: Path) -> sqlite3.Connection:
    # The service may build the sandbox in one thread and serve it in another; it is
    # never used by two at once, since every use is on the event loop.
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    # NORMAL survives a killed process; only a power cut may cost the last commits,
    # which is fair for a sandbox and several times faster.
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute(_SCHEMA)
    return connection
