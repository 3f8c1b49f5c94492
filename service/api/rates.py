"""How often a key may call: a system that has run wild must not stop all others' (T22, T43)."""

from time import time

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from service.errors import TooManyRequests


class KeyRates:
    """Counts each key's requests to this process; two numbers a key, however many they are."""

    def __init__(self, per_minute: int) -> None:
        """Start with no requests."""
        self._limit = RateLimitItemPerMinute(per_minute)
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())

    def spend(self, key_id: str) -> None:
        """Count one request. Raises: TooManyRequests, and then it does not count."""
        if not self._limiter.hit(self._limit, key_id):
            window = self._limiter.get_window_stats(self._limit, key_id)
            raise TooManyRequests(max(1, int(window.reset_time - time()) + 1))
