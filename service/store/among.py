"""`column IN (…)` with any number of texts in one parameter, so that the statement stays the same.

SQLAlchemy's own IN binds each value by itself, and makes another statement for each number of
them: for a few hundred that costs more than the database does.
"""

from collections.abc import Collection
from typing import Any, Self

import orjson
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.operators import OperatorType


class _Texts(sa.types.TypeDecorator[Collection[str]]):
    """Many texts as one parameter: an array, or JSON for SQLite."""

    impl = sa.String
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        """Return what the database is told that it gets."""
        is_sqlite = dialect.name == "sqlite"
        return sa.String() if is_sqlite else postgresql.ARRAY(sa.String)

    def process_bind_param(self, value: Collection[str] | None, dialect: sa.Dialect) -> Any:
        """Return the parameter."""
        texts = list(value or ())
        return orjson.dumps(texts).decode() if dialect.name == "sqlite" else texts


class _Among(FunctionElement[bool]):
    """Whether a column is one of the texts in a parameter."""

    type = sa.Boolean()
    name = "among"
    inherit_cache = True

    def self_group(self, against: OperatorType | None = None) -> Self:
        """Stand as it is: SQLAlchemy would write `IN (…) = 1`, which SQLite answers by a scan."""
        return self


def among(column: sa.ColumnElement[str], name: str) -> sa.ColumnElement[bool]:
    """Return whether the column is one of the texts that are given by this name at execution."""
    return _Among(column, sa.bindparam(name, type_=_Texts()))


@compiles(_Among)
def _with_array(element: Any, compiler: Any, **how: Any) -> str:
    column, texts = (compiler.process(each, **how) for each in element.clauses)
    return f"{column} = ANY({texts})"


@compiles(_Among, "sqlite")
def _with_json(element: Any, compiler: Any, **how: Any) -> str:
    column, texts = (compiler.process(each, **how) for each in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({texts}))"  # noqa: S608 (our own names)
