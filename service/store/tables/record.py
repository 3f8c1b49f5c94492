"""Rows as plain values: what the ledger works on, without a session."""

from typing import TYPE_CHECKING, Any, Self

from sqlmodel import SQLModel

_NOTHING_EXTRA: tuple[str, ...] = (
    "__pydantic_fields_set__",
    "__pydantic_extra__",
    "__pydantic_private__",
)


class Record(SQLModel):
    """The columns of a table, read and set at the price of a dict.

    Nothing is left to validate: what is read was stored by us, what is set was decided by the
    machine. pydantic's own way costs ten times as much, forty columns at a time
    (docs/performance.md)."""

    @classmethod
    def of(cls, values: dict[str, Any]) -> Self:
        """Return the record of a whole row; the dict belongs to it from now on."""
        record: Self = cls.__new__(cls)
        object.__setattr__(record, "__dict__", values)
        for name in _NOTHING_EXTRA:
            object.__setattr__(record, name, None)
        return record

    if not TYPE_CHECKING:  # for the type checker any name could be set then
        # A table's own attributes are descriptors, so that SQLAlchemy still sees what is set.
        __setattr__ = object.__setattr__

    def values(self) -> dict[str, Any]:
        """Return every column's value, by its name."""
        return dict(self.__dict__)
