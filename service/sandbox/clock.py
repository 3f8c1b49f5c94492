"""The sandbox's business clock: real time plus an offset that a test may grow."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache


def utc_now() -> datetime:
    """Return the machine's time, aware and in UTC."""
    return datetime.now(UTC)


class Clock:
    """Tell business time; share one instance between a service and its sandbox.

    Only expiry and the timestamps inside events follow it. Signatures, tokens, retries
    and rate limits use `real_now`.
    """

    def __init__(self, real_now: Callable[[], datetime] = utc_now) -> None:
        self.real_now = real_now
        self.offset = timedelta(0)
        self._watchers: list[Callable[[], None]] = []

    def now(self) -> datetime:
        """Return the business time, aware and in UTC."""
        return self.real_now() + self.offset

    def set_offset(self, offset: timedelta) -> None:
        """Make business time run `offset` ahead of real time and tell the watchers."""
        self.offset = offset
        for watcher in self._watchers:
            watcher()

    def watch(self, watcher: Callable[[], None]) -> None:
        """Have `watcher` called after every jump of the clock."""
        self._watchers.append(watcher)


# One event's instant stands in its webhook, its line of the ledger and every look at it.
@lru_cache(maxsize=1024)
def as_text(instant: datetime) -> str:
    """Write an instant as Vipps does: UTC, milliseconds, `Z`."""
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
