"""Statements of the hot path: made once from the tables, run by the driver on whole batches.

SQLAlchemy converts and binds every value of every row by itself, which costs more than the
database does (docs/performance.md). Here a batch is one call: tuples for SQLite's `executemany`,
COPY and one JSON document for PostgreSQL. Everything that is not the hot path stays with
SQLAlchemy; the columns, their types and their names come from the same tables.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlmodel import Session, SQLModel
from sqlmodel.sql.sqltypes import UTCDateTime

from service.store.inserts import table_of
from service.store.instants import instant_text

Row = dict[str, Any]
Convert = Callable[[Any], Any]


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """Some columns of the rows whose `key` is one of many, and whose `equal` columns are given.

    `also` is SQL that holds for all of them. `is_locked`: nobody else changes them before the
    transaction ends, and whoever locks several does it in the sequence of `sort`."""

    columns: tuple[sa.Column[Any], ...]
    key: sa.Column[Any]
    equal: tuple[sa.Column[Any], ...] = ()
    also: str = ""
    sort: sa.Column[Any] | None = None
    is_locked: bool = False

    def rows(self, session: Session, keys: Iterable[Any], *given: Any) -> list[Row]:
        """Return the rows, each by the names of its columns."""
        is_sqlite = _is_sqlite(session)
        wanted: Any = orjson.dumps(list(keys)).decode() if is_sqlite else list(keys)
        statement, convert = _select(self, is_sqlite)
        found = _driver(session).execute(statement, (wanted, *given))
        return [convert(row) for row in found.fetchall()]


def insert_rows(session: Session, model: type[SQLModel], rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows; a column that a row leaves out gets its default, or NULL."""
    for names, alike in _alike(rows).items():
        if _is_sqlite(session):
            statement, cells = _sqlite_insert(model, names)
            _driver(session).executemany(statement, map(cells, alike))
            continue
        statement, cells = _copy_into(model, names)
        with _driver(session).cursor() as cursor, cursor.copy(statement) as copy:
            for row in alike:
                copy.write_row(cells(row))


def upsert_rows(
    session: Session,
    model: type[SQLModel],
    rows: Sequence[Mapping[str, Any]],
    *,
    conflict: str,
) -> int:
    """Insert rows; what becomes of one that is there already, `conflict` says in SQL.

    `{least}` in it is the smaller of two values, in the database's own words. Returns how many
    rows were written."""
    count = 0
    for names, alike in _alike(rows).items():
        if _is_sqlite(session):
            statement, cells = _sqlite_insert(model, names)
            text = f"{statement} {conflict.format(least='min')}"
            written = _driver(session).executemany(text, map(cells, alike))
        else:
            statement, cells = _postgres_insert(model, names)
            text = f"{statement} {conflict.format(least='least')}"
            written = _driver(session).execute(text, (_json_rows(map(cells, alike)),))
        count += int(written.rowcount)
    return count


def insert_or_leave(session: Session, model: type[SQLModel], row: Mapping[str, Any]) -> bool:
    """Insert a row unless one of its unique keys is taken; then change nothing, and say False.

    A transaction that has taken the key and is still open is waited for."""
    return upsert_rows(session, model, [row], conflict="ON CONFLICT DO NOTHING") == 1


def update_rows(
    session: Session, model: type[SQLModel], changes: Mapping[str, Mapping[str, Any]]
) -> None:
    """Set some columns of some rows, each by its id; what is not named stays."""
    rows = [{**values, "id": key} for key, values in changes.items() if values]
    for names, alike in _alike(rows).items():
        if _is_sqlite(session):
            statement, cells = _sqlite_update(model, names)
            _driver(session).executemany(statement, map(cells, alike))
        else:
            statement, cells = _postgres_update(model, names)
            _driver(session).execute(statement, (_json_rows(map(cells, alike)),))


def add_to(
    session: Session, column: sa.Column[int], key: tuple[sa.Column[Any], Any], by: int
) -> int:
    """Add to one row's number, locking the row, and return what it is now."""
    mark = "?" if _is_sqlite(session) else "%s"
    name, (key_column, value) = column.name, key
    statement = (
        f"UPDATE {_quoted(column.table.name)} SET {name} = {name} + {mark}"  # noqa: S608
        f" WHERE {key_column.name} = {mark} RETURNING {name}"
    )
    return int(_driver(session).execute(statement, (by, value)).fetchone()[0])


def listed(words: Iterable[str]) -> str:
    """Return words of our own as SQL's list, for `Selection.also`."""
    return f"({', '.join(repr(str(word)) for word in words)})"


def _driver(session: Session) -> Any:
    """Return the driver's own connection, inside the session's transaction.

    A session has one transaction (service/store/db.py), and so one connection."""
    known = session.info
    if "driver" not in known:
        known["driver"] = session.connection().connection.dbapi_connection
    return known["driver"]


def _is_sqlite(session: Session) -> bool:
    return session.get_bind().dialect.name == "sqlite"


# Values


def _instant(value: datetime | None) -> str | None:
    """Return an aware instant as SQLAlchemy stores it on SQLite: in UTC, and without saying so."""
    if value is None:
        return None
    text = instant_text(value)
    return f"{text[:10]} {text[11:26]}"


def _date_text(value: date | None) -> str | None:
    return None if value is None else value.isoformat()


def _json_text(value: Any) -> str | None:
    return None if value is None else orjson.dumps(value).decode()


def _aware(value: datetime | None) -> datetime | None:
    if value is not None and value.tzinfo is None:
        raise ValueError("an instant needs its time zone")
    return value


# By a column's type, and only what the driver would not write as it must be.
_Conversions = tuple[tuple[type, Convert], ...]
_TO_SQLITE: _Conversions = (
    (UTCDateTime, _instant),
    (sa.Date, _date_text),
    (sa.JSON, _json_text),
    # Of any value that is not exactly one of its own four types, the driver asks several places how
    # it wants to be stored, which takes longer than storing it; bytes are not among them.
    (sa.LargeBinary, lambda value: value and bytearray(value)),
    (sa.Boolean, {False: 0, True: 1}.get),
)
_TO_COPY: _Conversions = ((UTCDateTime, _aware), (sa.JSON, _json_text))
_TO_JSON: _Conversions = ((UTCDateTime, _aware),)
_FROM_SQLITE: _Conversions = (
    (UTCDateTime, lambda text: datetime.fromisoformat(text + "+00:00")),
    (sa.Date, date.fromisoformat),
    (sa.JSON, orjson.loads),
    (sa.Boolean, bool),
)
# psycopg gives every other type as it is meant; instants come in the session's own zone.
_FROM_POSTGRES: _Conversions = ((UTCDateTime, lambda instant: instant.astimezone(UTC)),)


def _conversion(column: sa.Column[Any], conversions: _Conversions) -> Convert | None:
    return next((how for kind, how in conversions if isinstance(column.type, kind)), None)


# Rows


_Names = tuple[str, ...]
_Given = Mapping[str, Any]
_Cells = Callable[[_Given], Sequence[Any]]


def _alike(rows: Iterable[_Given]) -> dict[_Names, list[_Given]]:
    """Gather the rows that name the same columns: they share a statement."""
    found: dict[_Names, list[_Given]] = {}
    for row in rows:
        found.setdefault(tuple(row), []).append(row)
    return found


def _defaults(table: sa.Table, names: _Names) -> Row:
    """Return what is written where a row says nothing; NULL needs no writing."""
    left_out = (column for column in table.c if column.name not in names)
    defaults: list[tuple[str, Any]] = [(column.name, column.default) for column in left_out]
    return {name: d.arg for name, d in defaults if d is not None and d.is_scalar}


def _cells(table: sa.Table, names: _Names, conversions: _Conversions) -> _Cells:
    """Return what makes the cells of a row that has these names, in their sequence."""
    how = [(place, _conversion(table.c[name], conversions)) for place, name in enumerate(names)]
    converted = [(place, encode) for place, encode in how if encode is not None]

    def cells(row: _Given) -> Sequence[Any]:
        found = [row[name] for name in names]
        for place, encode in converted:
            found[place] = encode(found[place])
        return found

    return cells


# SELECT


@lru_cache(maxsize=64)
def _select(selection: Selection, is_sqlite: bool) -> tuple[str, Callable[[Sequence[Any]], Row]]:
    table = selection.key.table.name
    mark = "?" if is_sqlite else "%s"
    keys = "(SELECT value FROM json_each(?))" if is_sqlite else "ANY(%s)"
    how = "IN" if is_sqlite else "="
    where = [f"{selection.key.name} {how} {keys}"]
    where += [f"{column.name} = {mark}" for column in selection.equal]
    where += [selection.also] if selection.also else []
    named = ", ".join(column.name for column in selection.columns)
    text = f"SELECT {named} FROM {_quoted(table)} WHERE {' AND '.join(where)}"  # noqa: S608  (names of our own tables)
    if selection.sort is not None:
        text += f" ORDER BY {selection.sort.name}"
    if selection.is_locked and not is_sqlite:  # SQLite has one writer
        text += " FOR UPDATE"
    names = tuple(column.name for column in selection.columns)
    conversions = _FROM_SQLITE if is_sqlite else _FROM_POSTGRES
    decoders = [(c.name, _conversion(c, conversions)) for c in selection.columns]
    converted = [(name, decode) for name, decode in decoders if decode is not None]

    def convert(row: Sequence[Any]) -> Row:
        values = dict(zip(names, row, strict=True))
        for name, decode in converted:
            value = values[name]
            if value is not None:
                values[name] = decode(value)
        return values

    return text, convert


def _quoted(name: str) -> str:
    return f'"{name}"'


# INSERT


def _inserted(table: sa.Table, names: _Names, conversions: _Conversions) -> tuple[_Names, _Cells]:
    """Return the columns to write, and what makes their cells of a row that has these names."""
    defaults = _defaults(table, names)
    given = _cells(table, names, conversions)
    rest = _cells(table, tuple(defaults), conversions)(defaults)
    return (*names, *defaults), lambda row: (*given(row), *rest)


@lru_cache(maxsize=256)
def _sqlite_insert(model: type[SQLModel], names: _Names) -> tuple[str, _Cells]:
    table = table_of(model)
    columns, cells = _inserted(table, names, _TO_SQLITE)
    marks = ", ".join("?" for _ in columns)
    text = f"INSERT INTO {_quoted(table.name)} ({', '.join(columns)}) VALUES ({marks})"  # noqa: S608
    return text, cells


@lru_cache(maxsize=256)
def _copy_into(model: type[SQLModel], names: _Names) -> tuple[str, _Cells]:
    table = table_of(model)
    columns, cells = _inserted(table, names, _TO_COPY)
    return f"COPY {_quoted(table.name)} ({', '.join(columns)}) FROM STDIN", cells


@lru_cache(maxsize=256)
def _postgres_insert(model: type[SQLModel], names: _Names) -> tuple[str, _Cells]:
    table = table_of(model)
    columns, cells = _inserted(table, names, _TO_JSON)
    text = (
        f"INSERT INTO {_quoted(table.name)} ({', '.join(columns)})"  # noqa: S608
        f" SELECT {_typed(table, columns)} FROM json_array_elements(%s::json) AS cells"
    )
    return text, cells


def _typed(table: sa.Table, names: _Names) -> str:
    types = [table.c[name].type.compile(dialect=_POSTGRES) for name in names]
    return ", ".join(f"(cells->>{number})::{type_}" for number, type_ in enumerate(types))


# UPDATE: the last cell is the id.


@lru_cache(maxsize=256)
def _sqlite_update(model: type[SQLModel], names: _Names) -> tuple[str, _Cells]:
    table = table_of(model)
    changes = ", ".join(f"{name} = ?" for name in names[:-1])
    statement = f"UPDATE {_quoted(table.name)} SET {changes} WHERE id = ?"  # noqa: S608
    return statement, _cells(table, names, _TO_SQLITE)


@lru_cache(maxsize=256)
def _postgres_update(model: type[SQLModel], names: _Names) -> tuple[str, _Cells]:
    # One statement and one parameter for all rows: arrays would be written by Python, cell by cell.
    table, changed = table_of(model), names[:-1]
    values = _typed(table, changed)
    statement = (
        f"UPDATE {_quoted(table.name)} AS t SET ({', '.join(changed)}) = ROW ({values})"  # noqa: S608
        f" FROM json_array_elements(%s::json) AS cells WHERE t.id = cells->>{len(changed)}"
    )
    return statement, _cells(table, names, _TO_JSON)


_POSTGRES: sa.Dialect = postgresql.dialect()  # type: ignore[no-untyped-call]


def _json_rows(rows: Iterable[Sequence[Any]]) -> str:
    return orjson.dumps(list(rows), default=_json_cell).decode()


def _json_cell(value: Any) -> Any:
    if isinstance(value, bytes | memoryview):
        return f"\\x{bytes(value).hex()}"
    raise TypeError(type(value).__name__)
