"""The two times: real time for signatures, leases and retries; business time for the rest."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import inf
from typing import Any


def real_now() -> datetime:
    """Return the machine's time, UTC."""
    return datetime.now(UTC)


def seconds_until(at: datetime | None, now: datetime) -> float:
    """Return how long it is until an instant; without one, for ever."""
    return inf if at is None else (at - now).total_seconds()


def no_offset() -> timedelta:
    """Return the offset of business time where no sandbox is built in: none."""
    return timedelta()


@dataclass(frozen=True, slots=True)
class Clock:
    """Tells both times.

    Business time (due dates, expiry, policy, read schedule) runs ahead of real time by
    the built-in sandbox's offset; with any other Vipps the two are one (contract, section 8).

    `of_database`: what the database says in a transaction, where machines share one.
    """

    real: Callable[[], datetime] = real_now
    offset: Callable[[], timedelta] = no_offset
    of_database: Callable[[Any], datetime] | None = None

    def now(self) -> datetime:
        """Return real time, UTC."""
        return self.real()

    def shared_now(self, session: Any) -> datetime:
        """Return the one time of all processes, UTC: by it leases begin, and are over.

        A machine whose clock runs ahead would else take what another has in hand."""
        return self.of_database(session) if self.of_database else self.now()

    def business_now(self) -> datetime:
        """Return business time, UTC."""
        return self.real() + self.offset()
