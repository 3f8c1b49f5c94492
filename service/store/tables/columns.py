"""Column shapes that several tables share."""

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from sqlmodel import SQLModel

# Names of constraints are part of the schema: a migration must be able to drop
# them again, on both databases, so none is left to the database to invent.
SQLModel.metadata.naming_convention = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class Json(sa.JSON):
    """JSON in which None is SQL's NULL, not the text `null`."""

    def __init__(self) -> None:
        """Take no arguments, so that the class itself can stand in a field."""
        super().__init__(none_as_null=True)


def one_of(column: str, values: Iterable[str], name: str) -> sa.CheckConstraint:
    """Return a CHECK that only the named values can stand in the column."""
    listed = ", ".join(f"'{value}'" for value in values)
    return sa.CheckConstraint(f"{column} IN ({listed})", name=name)


def only_where(condition: str) -> dict[str, Any]:
    """Return the arguments that make an index partial on both databases."""
    clause = sa.text(condition)
    return {"sqlite_where": clause, "postgresql_where": clause}
