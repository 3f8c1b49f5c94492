"""Vipps's rate limits: so many calls a minute for one reference, on real time."""

from collections import OrderedDict
from datetime import datetime, timedelta
from math import ceil

from service.sandbox.problems import Denied

WINDOW = timedelta(minutes=1)
WRITES_MAX = 5
READS_MAX = 120


class RateLimits:
    """Count calls per key over the last minute."""

    def __init__(self) -> None:
        # Oldest use first, so that forgetting the stale ones needs no search.
        self._calls: OrderedDict[tuple[str, ...], list[datetime]] = OrderedDict()

    def take(self, key: tuple[str, ...], most: int, *, now: datetime) -> None:
        """Count one more call. Raises: Denied with the seconds to wait."""
        self._forget(now)
        calls = self._calls.setdefault(key, [])
        while calls and calls[0] <= now - WINDOW:
            del calls[0]
        if len(calls) >= most:
            wait_s = ceil((calls[0] + WINDOW - now).total_seconds())
            message = f"Rate limit is exceeded. Try again in {wait_s} seconds."
            raise Denied(429, message, retry_after_s=wait_s)
        calls.append(now)
        self._calls.move_to_end(key)

    def _forget(self, now: datetime) -> None:
        while self._calls:
            key, calls = next(iter(self._calls.items()))
            if calls and calls[-1] > now - WINDOW:
                return
            del self._calls[key]
