"""The disk: the driver alone, with the statements and the rows of AUTHORIZED webhooks in groups.

The rows are copies of what the ledger wrote for one such webhook, and are made before the clock
runs. What is timed is what no design can leave out: read the group's invoices under their lock,
write its rows with all their indexes, commit.
"""

import os
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
import sqlalchemy as sa

from tests.benchmarks.bulk import Values
from tests.benchmarks.databases import scalar
from tests.benchmarks.figures import Rows
from tests.benchmarks.pile import Pile
from tests.benchmarks.rounds import Round
from tests.benchmarks.webhooks import MSN

GROUP = 64  # more than 64 connections can't have under way at a time

_SPARE = 1.5
_PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "cache_size=-65536")
# What an update never changes; as the ledger's own statements have it.
_FIXED = frozenset(
    {"id", "msn", "reference", "amount_minor", "currency", "description", "flow"}
) | {
    *("capture", "due_date", "terms", "creation_hash", "page_lookup", "created_at"),
    *("invoice_id", "attempt", "user_flow"),
}

Execute = Callable[[str, Sequence[Any]], Any]


@dataclass(frozen=True, slots=True)
class _Driver:
    """The two ways in which a driver runs statements; `?` marks a value."""

    execute: Execute
    many: Callable[[str, Sequence[Sequence[Any]]], Any]
    begin: str
    lock: str


@dataclass(frozen=True, slots=True)
class _Group:
    """What one transaction reads and writes."""

    references: list[str]
    invoices: list[str]
    rows: dict[str, list[Values]]


class Disk:
    """Writes prepared groups as fast as the driver takes them."""

    name = f"raw driver, groups of {GROUP}"

    def __init__(
        self, pile: Pile, database_cpu_s: Callable[[], float], *, expected_per_s: float = 2_500.0
    ) -> None:
        """Keep the rows that the ledger writes for one webhook as a model."""
        self._pile = pile
        self._database_cpu_s = database_cpu_s
        self._columns, self._model = pile.authorized_model()
        self._statements = _Statements(self._columns)
        self._expected_per_s = expected_per_s
        self._made = 0
        self._mark = secrets.token_hex(5)

    def round(self, seconds: float) -> Round:
        """Write groups for so long."""
        references = self._pile.make(round(self._expected_per_s * seconds * _SPARE) + 2 * GROUP)
        with _driver(self._pile.url) as driver:
            groups = list(self._groups(driver, references))
            before = self._count()
            os.sync()
            used = (time.process_time(), self._database_cpu_s())
            waits_s = self._timed(driver, groups, seconds)
            cpu = time.process_time() - used[0]
            database_cpu = self._database_cpu_s() - used[1]
        lasted, written = sum(waits_s), len(waits_s) * GROUP
        self._expected_per_s = written / lasted
        waits_s.sort()
        return Round(
            per_s=written / lasted,
            p50_ms=waits_s[len(waits_s) // 2] * 1000,
            p99_ms=waits_s[len(waits_s) * 99 // 100] * 1000,
            cpu_us=cpu / written * 1e6,
            database_cpu_us=database_cpu / written * 1e6,
            cores=(cpu + database_cpu) / lasted,
            rows=(Rows("transitions", self._count() - before, written, written),),
        )

    def _timed(self, driver: _Driver, groups: Sequence[_Group], seconds: float) -> list[float]:
        waits_s = []
        end = time.perf_counter() + seconds
        for group in groups:
            begun = time.perf_counter()
            if begun > end:
                break
            self._statements.run(driver, group)
            waits_s.append(time.perf_counter() - begun)
        return waits_s

    def _count(self) -> int:
        of_ours = "SELECT count(*) FROM transition WHERE evidence_id LIKE ?"
        return scalar(self._pile.url, of_ours, f"vev_{self._mark}%")

    def _groups(self, driver: _Driver, references: Sequence[str]) -> Iterator[_Group]:
        position = driver.execute("SELECT position FROM feed", ()).fetchone()[0]
        for start in range(0, len(references) - GROUP + 1, GROUP):
            named = list(references[start : start + GROUP])
            marks = ", ".join("?" * GROUP)
            found = driver.execute(
                f"SELECT reference, id, invoice_id FROM payment"  # noqa: S608
                f" WHERE msn = ? AND reference IN ({marks})",
                (MSN, *named),
            ).fetchall()
            rows: dict[str, list[Values]] = {table: [] for table in self._model}
            for reference, payment_id, invoice_id in sorted(found, key=lambda row: row[2]):
                position += 1
                self._add(rows, reference, payment_id, invoice_id, position)
            yield _Group(named, [row[2] for row in found], rows)

    def _add(
        self,
        rows: dict[str, list[Values]],
        reference: str,
        payment_id: str,
        invoice_id: str,
        position: int,
    ) -> None:
        self._made += 1
        name = f"{self._mark}{self._made:016}"
        known = {"reference": reference, "payment_id": payment_id, "invoice_id": invoice_id}
        of_table: dict[str, dict[str, Any]] = {
            "vipps_event": known | {"id": f"vev_{name}", "psp_reference": name},
            "transition": known | {"evidence_id": f"vev_{name}", "payment_reference": reference},
            "command": known | {"id": f"cmd_{name}", "idempotency_key": f"cmd_{name}"},
            "event": known | {"id": f"evt_{name}", "position": position},
            "invoice": {"id": invoice_id},
            "payment": {"id": payment_id},
        }
        for table, values in self._model.items():
            row = values.copy()
            for place, column in enumerate(self._columns[table]):
                row[place] = of_table[table].get(column, row[place])
            rows[table].append(row)


class _Statements:
    """The statements of one group, their texts made once."""

    def __init__(self, columns: dict[str, tuple[str, ...]]) -> None:
        """Write them for these columns."""
        marks = ", ".join("?" * GROUP)
        self._reads = (
            f"SELECT id, invoice_id FROM payment WHERE msn = ? AND reference IN ({marks})",  # noqa: S608
            f"SELECT * FROM vipps_event WHERE msn = ? AND reference IN ({marks})",  # noqa: S608
        )
        self._lock = f"SELECT * FROM invoice WHERE id IN ({marks}) ORDER BY id"  # noqa: S608
        self._chains = f"SELECT * FROM payment WHERE invoice_id IN ({marks})"  # noqa: S608
        self._inserts = {
            table: _insert(table, columns[table])
            for table in ("vipps_event", "transition", "command", "event")
        }
        self._updates = {table: _update(table, columns[table]) for table in ("invoice", "payment")}

    def run(self, driver: _Driver, group: _Group) -> None:
        """Read, write and commit one group."""
        driver.execute(driver.begin, ())
        driver.execute(self._reads[0], (MSN, *group.references)).fetchall()
        driver.execute(self._lock + driver.lock, group.invoices).fetchall()
        driver.execute(self._chains, group.invoices).fetchall()
        driver.execute(self._reads[1], (MSN, *group.references)).fetchall()
        for table, (text, places) in self._updates.items():
            driver.many(text, [[row[p] for p in places] for row in group.rows[table]])
        driver.execute("UPDATE feed SET position = position + ?", (GROUP,))
        for table, text in self._inserts.items():
            driver.execute(text, [value for row in group.rows[table] for value in row])
        driver.execute("COMMIT", ())


def _insert(table: str, columns: Sequence[str]) -> str:
    row = f"({', '.join('?' * len(columns))})"
    rows = ", ".join([row] * GROUP)
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES {rows}"  # noqa: S608


def _update(table: str, columns: Sequence[str]) -> tuple[str, list[int]]:
    changed = [name for name in columns if name not in _FIXED]
    text = ", ".join(f"{name} = ?" for name in changed)
    places = [columns.index(name) for name in (*changed, "id")]
    return f"UPDATE {table} SET {text} WHERE id = ?", places  # noqa: S608


@contextmanager
def _driver(url: str) -> Iterator[_Driver]:
    if url.startswith("sqlite"):
        path = str(sa.make_url(url).database)
        connection = sqlite3.connect(path, timeout=10, isolation_level=None)
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
        try:
            yield _Driver(connection.execute, connection.executemany, "BEGIN IMMEDIATE", "")
        finally:
            connection.close()
        return
    with psycopg.connect(url, autocommit=True) as postgres, postgres.cursor() as cursor:

        def execute(text: str, values: Sequence[Any]) -> Any:
            return cursor.execute(text.replace("?", "%s").encode(), values)

        def many(text: str, rows: Sequence[Sequence[Any]]) -> Any:
            return cursor.executemany(text.replace("?", "%s").encode(), rows)

        yield _Driver(execute, many, "BEGIN", " FOR UPDATE")
