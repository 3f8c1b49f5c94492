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
    if not rows:
        return
    if _is_sqlite(session):
        statement, tuples = _sqlite_insert(model)
        _driver(session).executemany(statement, [tuples(row) for row in rows])
        return
    statement, tuples = _copy_into(model)
    with _driver(session).cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(tuples(row))


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
    if not rows:
        return 0
    if _is_sqlite(session):
        statement, tuples = _sqlite_insert(model)
        text = f"{statement} {conflict.format(least='min')}"
        written = _driver(session).executemany(text, [tuples(row) for row in rows])
        return int(written.rowcount)
    statement, tuples = _postgres_insert(model)
    text = f"{statement} {conflict.format(least='least')}"
    written = _driver(session).execute(text, (_json_rows([tuples(row) for row in rows]),))
    return int(written.rowcount)


def insert_or_leave(session: Session, model: type[SQLModel], row: Mapping[str, Any]) -> bool:
    """Insert a row unless one of its unique keys is taken; then change nothing, and say False.

    A transaction that has taken the key and is still open is waited for."""
    return upsert_rows(session, model, [row], conflict="ON CONFLICT DO NOTHING") == 1


def update_rows(
    session: Session, model: type[SQLModel], changes: Mapping[str, Mapping[str, Any]]
) -> None:
    """Set some columns of some rows, each by its id; what is not named stays."""
    alike: dict[tuple[str, ...], list[tuple[Any, ...]]] = {}
    for key, values in changes.items():
        if values:
            alike.setdefault(tuple(values), []).append((*values.values(), key))
    for names, rows in alike.items():
        if _is_sqlite(session):
            statement, cells = _sqlite_update(model, names)
            _driver(session).executemany(statement, [cells(row) for row in rows])
        else:
            statement, cells = _postgres_update(model, names)
            _driver(session).execute(statement, (_json_rows([cells(row) for row in rows]),))


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
    """Return the driver's own connection, inside the session's transaction."""
    return session.connection().connection.dbapi_connection


def _is_sqlite(session: Session) -> bool:
    return session.get_bind().dialect.name == "sqlite"


# Values


def _instant_text(value: datetime | None) -> str | None:
    """Return an aware instant as SQLAlchemy stores it: UTC, always with six decimals."""
    if value is None:
        return None
    if value.tzinfo is not UTC:
        if value.utcoffset() is None:
            raise ValueError("an instant needs its time zone")
        value = value.astimezone(UTC)
    # orjson writes it seven times as fast as `isoformat`, but leaves out decimals that are zero.
    text = orjson.dumps(value).decode()
    if len(text) == _TEXT_LENGTH:
        return f"{text[1:11]} {text[12:27]}"
    return value.isoformat(" ", "microseconds")[:26]


_TEXT_LENGTH = len('"2026-11-22T10:00:00.123456+00:00"')


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
    (UTCDateTime, _instant_text),
    (sa.Date, _date_text),
    (sa.JSON, _json_text),
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


def _default(column: sa.Column[Any]) -> Any:
    default: Any = column.default
    return default.arg if default is not None and default.is_scalar else None


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


@lru_cache(maxsize=64)
def _sqlite_insert(
    model: type[SQLModel],
) -> tuple[str, Callable[[Mapping[str, Any]], tuple[Any, ...]]]:
    table = table_of(model)
    names = ", ".join(column.name for column in table.c)
    marks = ", ".join("?" for _ in table.c)
    statement = f"INSERT INTO {_quoted(table.name)} ({names}) VALUES ({marks})"  # noqa: S608
    return statement, _tuples(table, _TO_SQLITE)


@lru_cache(maxsize=64)
def _copy_into(model: type[SQLModel]) -> tuple[str, Callable[[Mapping[str, Any]], tuple[Any, ...]]]:
    table = table_of(model)
    names = ", ".join(column.name for column in table.c)
    return f"COPY {_quoted(table.name)} ({names}) FROM STDIN", _tuples(table, _TO_COPY)


@lru_cache(maxsize=64)
def _postgres_insert(
    model: type[SQLModel],
) -> tuple[str, Callable[[Mapping[str, Any]], tuple[Any, ...]]]:
    table = table_of(model)
    names = ", ".join(column.name for column in table.c)
    statement = (
        f"INSERT INTO {_quoted(table.name)} ({names})"  # noqa: S608
        f" SELECT {_cells(table.c)} FROM json_array_elements(%s::json) AS cells"
    )
    return statement, _tuples(table, _TO_JSON)


def _cells(columns: Iterable[sa.Column[Any]]) -> str:
    types = [column.type.compile(dialect=_POSTGRES) for column in columns]
    return ", ".join(f"(cells->>{number})::{type_}" for number, type_ in enumerate(types))


def _tuples(
    table: sa.Table, conversions: _Conversions
) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
    columns = [(c.name, _default(c), _conversion(c, conversions)) for c in table.c]

    def tuples(row: Mapping[str, Any]) -> tuple[Any, ...]:
        get = row.get
        return tuple(
            [
                get(name, default) if encode is None else encode(get(name, default))
                for name, default, encode in columns
            ]
        )

    return tuples


# UPDATE


_Cells = Callable[[Sequence[Any]], tuple[Any, ...]]


@lru_cache(maxsize=256)
def _sqlite_update(model: type[SQLModel], names: tuple[str, ...]) -> tuple[str, _Cells]:
    table = table_of(model)
    changes = ", ".join(f"{name} = ?" for name in names)
    statement = f"UPDATE {_quoted(table.name)} SET {changes} WHERE id = ?"  # noqa: S608
    return statement, _converted(table, (*names, "id"), _TO_SQLITE)


@lru_cache(maxsize=256)
def _postgres_update(model: type[SQLModel], names: tuple[str, ...]) -> tuple[str, _Cells]:
    # One statement and one parameter for all rows: arrays would be written by Python, cell by cell.
    table = table_of(model)
    cells = _cells(table.c[name] for name in names)
    statement = (
        f"UPDATE {_quoted(table.name)} AS t SET ({', '.join(names)}) = ROW ({cells})"  # noqa: S608
        f" FROM json_array_elements(%s::json) AS cells WHERE t.id = cells->>{len(names)}"
    )
    return statement, _converted(table, (*names, "id"), _TO_JSON)


def _converted(table: sa.Table, names: Sequence[str], conversions: _Conversions) -> _Cells:
    """Return what makes one row's parameters of its values, which come in this sequence."""
    how = [_conversion(table.c[name], conversions) for name in names]

    def convert(values: Sequence[Any]) -> tuple[Any, ...]:
        return tuple([v if to is None else to(v) for to, v in zip(how, values, strict=True)])

    return convert


_POSTGRES: sa.Dialect = postgresql.dialect()  # type: ignore[no-untyped-call]


def _json_rows(rows: Sequence[Sequence[Any]]) -> str:
    return orjson.dumps(rows, default=_json_cell).decode()


def _json_cell(value: Any) -> Any:
    if isinstance(value, bytes | memoryview):
        return f"\\x{bytes(value).hex()}"
    raise TypeError(type(value).__name__)
