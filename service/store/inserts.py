"""Inserts that leave a row alone which is there already, on both databases."""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, SQLModel

UpsertInsert = sqlite.Insert | postgresql.Insert


def table_of(model: type[SQLModel]) -> sa.Table:
    """Return the table behind a model, for statements that need no objects."""
    table: sa.Table = model.__table__  # type: ignore[attr-defined]  # SQLModel's typing hides it
    return table


def upsert_into(session: Session, model: type[SQLModel]) -> UpsertInsert:
    """Return an insert of the session's own dialect, which knows ON CONFLICT."""
    if session.get_bind().dialect.name == "sqlite":
        return sqlite.insert(table_of(model))
    return postgresql.insert(table_of(model))
