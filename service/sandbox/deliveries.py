"""One event on its way to one registration."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Delivery:
    """A webhook that is not answered yet; times are real, `attempts` those made.

    `body` is the same on every attempt. A delivery that does not keep order is one that
    chaos doubled or moved: nothing waits for it.
    """

    number: int
    registration_id: str
    payment_key: str
    body: str
    due_at: datetime
    first_at: datetime | None = None
    attempts: int = 0
    keeps_order: bool = True

    @property
    def key(self) -> str:
        """Name the delivery so that names sort in the order of the events."""
        return f"{self.number:012d}"

    @property
    def lane(self) -> tuple[str, ...]:
        """Name what goes out strictly one after the other: a payment's events."""
        if self.keeps_order:
            return (self.registration_id, self.payment_key)
        return (self.registration_id, self.payment_key, self.key)


def delivery_of_row(row: Mapping[str, Any]) -> Delivery:
    """Return the delivery that the file kept."""
    first_at = row["first_at"] and datetime.fromisoformat(row["first_at"])
    due_at = datetime.fromisoformat(row["due_at"])
    return Delivery(**{**row, "due_at": due_at, "first_at": first_at})
