"""Everything the sandbox knows: in memory, and written through to a SQLite file.

Whoever tells of a change waits for `kept` first, so a process killed at any instant has
lost nothing it has told anybody. Changes of one moment share one commit.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

import orjson

T = TypeVar("T")

# Asks the file, as every change so far has made it.
Read = Callable[..., Iterator[tuple[Any, ...]]]

# Ordered by `id`, rows come back in the order in which they were first written.
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS entry"
    " (id INTEGER PRIMARY KEY, kind TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL,"
    " UNIQUE (kind, key))"
)
_PUT = (
    "INSERT INTO entry (kind, key, value) VALUES (?, ?, ?)"
    " ON CONFLICT (kind, key) DO UPDATE SET value = excluded.value"
)
# What may be forgotten a moment late is written with the next change, or in heaps this large.
_LATE_MAX = 200
# A commit costs as much as ten changes. One that comes alone is written at once; the next
# ones wait for each other until this much later.
_TOGETHER_S = 0.002


@dataclass(frozen=True, slots=True)
class Bound(Generic[T]):
    """How many rows memory holds: `may_go` says which may go, `on_gone` hears of each."""

    memory_max: int
    may_go: Callable[[T], bool] = lambda _: True
    on_gone: Callable[[T], None] = lambda _: None


class Table(Generic[T]):
    """Hold the rows of one kind by their key, in the order they were added.

    A table with a bound lets go of its oldest rows beyond that many. With a file they are
    still found there by key, without one they are gone.
    """

    def __init__(
        self,
        kind: str,
        *,
        decode: Callable[[Any], T],
        bound: Bound[T] | None,
        read: Read | None,
    ) -> None:
        self.kind = kind
        self.rows: dict[str, T] = {}
        self._decode = decode
        self._bound = bound
        self._read = read
        self._has_let_go = False
        query = "SELECT key, value FROM entry WHERE kind = ? ORDER BY id"
        for key, value in [] if read is None else read(query, kind):
            self.hold(key, self._decode(orjson.loads(value)))

    def get(self, key: str) -> T | None:
        """Return the row of that key, or None."""
        row = self.rows.get(key)
        if row is not None or not self._has_let_go or self._read is None:
            return row
        query = "SELECT value FROM entry WHERE kind = ? AND key = ?"
        found = next(self._read(query, self.kind, key), None)
        return None if found is None else self._decode(orjson.loads(found[0]))

    def after(self, key: str) -> Iterator[T]:
        """Yield the rows with later keys, also those that only the file still has.

        For tables whose rows are added in the order of their keys.
        """
        if self._has_let_go and self._read is not None:
            query = "SELECT value FROM entry WHERE kind = ? AND key > ? ORDER BY key"
            for (value,) in self._read(query, self.kind, key):
                yield self._decode(orjson.loads(value))
        else:
            yield from (row for name, row in self.rows.items() if name > key)

    def hold(self, key: str, row: T) -> None:
        """Have memory hold that row; only a transaction may say so."""
        self.rows[key] = row
        if self._bound is not None and len(self.rows) > self._bound.memory_max:
            self._let_go(self._bound)

    def _let_go(self, bound: Bound[T]) -> None:
        # Two looks for each row that is added: what may not go is set aside, behind all
        # others, so that the search stays short and memory follows its bound.
        for _ in range(2):
            key = next(iter(self.rows))
            row = self.rows.pop(key)
            if bound.may_go(row):
                self._has_let_go = True
                bound.on_gone(row)
                return
            self.rows[key] = row


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
        """Make all changes hold together; see `Store.kept` for when they outlive the process."""
        self._store.write(self._puts, self._deletes)
        for table, key, row in self._puts:
            table.hold(key, row)
        for table, key in self._deletes:
            table.rows.pop(key, None)


class Store:
    """Keep tables in memory and, if a path is given, in a file that outlives the process."""

    def __init__(self, path: Path | None) -> None:
        self._connection = None if path is None else _open(path)
        # What is not on disk yet: the row of each kind and key, or None where it is gone.
        self._pending: dict[tuple[str, str], bytes | None] = {}
        # How many changes there were, and how many of them are on disk.
        self._made = self._saved = 0
        self._waiting: list[Callable[[sqlite3.Error | None], None]] = []
        self._settled_at_s = 0.0

    def table(
        self, kind: str, *, decode: Callable[[Any], T], bound: Bound[T] | None = None
    ) -> Table[T]:
        """Return the table of that kind with the rows the file holds.

        A row is whatever orjson writes, dataclasses included; `decode` makes it of its JSON.
        """
        read = None if self._connection is None else self._read
        return Table(kind, decode=decode, bound=bound, read=read)

    def begin(self) -> Transaction:
        """Return an empty transaction."""
        return Transaction(self)

    def write(
        self, puts: list[tuple[Table[Any], str, Any]], deletes: list[tuple[Table[Any], str]]
    ) -> None:
        """Put these changes on disk in one piece, with those made before and soon after."""
        if self._connection is not None:
            # Encoded before anything changes: what can't be, is refused.
            written = {(t.kind, key): orjson.dumps(row) for t, key, row in puts}
            self._pending |= written
            self._pending |= {(t.kind, key): None for t, key in deletes}
            self._made += 1

    async def kept(self) -> None:
        """Return once everything that changed so far is on disk. Raises: sqlite3.Error."""
        if self._saved < self._made or self._waiting:
            told: asyncio.Future[sqlite3.Error | None] = asyncio.Future()
            self.when_kept(partial(_tell, told))
            if (failure := await told) is not None:
                raise failure

    def when_kept(self, tell: Callable[[sqlite3.Error | None], None]) -> None:
        """Call `tell` once everything that changed so far is on disk, or with why it isn't.

        As `kept`, for who has no task that could wait; who came first is told first.
        """
        if self._saved == self._made and not self._waiting:
            tell(None)
            return
        self._waiting.append(tell)
        if len(self._waiting) == 1:
            # Whoever else acts until then shares the commit of the first.
            loop = asyncio.get_running_loop()
            loop.call_at(self._settled_at_s + _TOGETHER_S, self._tell_waiting)

    def _tell_waiting(self) -> None:
        failure = None
        try:
            self.settle()
        except sqlite3.Error as error:
            failure = error
        self._settled_at_s = asyncio.get_running_loop().time()
        waiting, self._waiting = self._waiting, []
        for tell in waiting:
            tell(failure)

    def delete_late(self, table: Table[T], key: str) -> None:
        """Have the row gone from memory now and from the file soon.

        For rows that do no harm if a killed process finds them again.
        """
        table.rows.pop(key, None)
        if self._connection is not None:
            self._pending[table.kind, key] = None
            if len(self._pending) >= _LATE_MAX:
                self.settle()

    def settle(self) -> None:
        """Have all changes so far on disk, in one database transaction."""
        if self._connection is None or not self._pending:
            return
        rows = [(*name, row) for name, row in self._pending.items() if row is not None]
        gone = [name for name, row in self._pending.items() if row is None]
        with self._connection as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(_PUT, rows)
            connection.executemany("DELETE FROM entry WHERE kind = ? AND key = ?", gone)
        # Where the disk was full, they wait on, and whoever waits for them is told so.
        self._pending.clear()
        self._saved = self._made

    def close(self) -> None:
        """Let go of the file."""
        if self._connection is not None:
            self.settle()
            self._connection.close()
            self._connection = None

    def _read(self, query: str, *values: str) -> Iterator[tuple[Any, ...]]:
        self.settle()
        assert self._connection is not None  # noqa: S101 - for the type checker.
        return self._connection.execute(query, values)


def _tell(who: asyncio.Future[sqlite3.Error | None], failure: sqlite3.Error | None) -> None:
    if not who.done():  # as it is where the task that waited was cancelled
        who.set_result(failure)


def _open(path: Path) -> sqlite3.Connection:
    # The service may build the sandbox in one thread and serve it in another; it is
    # never used by two at once, since every use is on the event loop.
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    # NORMAL survives a killed process; only a power cut may cost the last commits,
    # which is fair for a sandbox and several times faster.
    connection.execute("PRAGMA synchronous = NORMAL")
    # 32 MB of changes before they are put into the file's own pages, most of them several
    # times until then.
    connection.execute("PRAGMA wal_autocheckpoint = 8000")
    connection.execute(_SCHEMA)
    return connection
