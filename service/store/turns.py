"""Places for threads, given out in the order of asking.

A pool's own queue lets whoever comes by at the right moment in before those who wait: under load
some wait until their time is up, while others are served again and again.
"""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Lock


class TooLong(Exception):
    """The time was up before the turn came."""


class Turns:
    """So many places; who finds none free waits in line."""

    def __init__(self, places: int) -> None:
        """Start with every place free."""
        self._free = places
        self._line: deque[Event] = deque()
        self._guard = Lock()

    @property
    def waiting(self) -> int:
        """Return how many stand in line."""
        return len(self._line)

    @contextmanager
    def turn(self, timeout_s: float) -> Iterator[None]:
        """Hold a place during the block, once it is ours. Raises: TooLong."""
        ticket = self._ask()
        if ticket is not None and not ticket.wait(timeout_s):
            self._leave(ticket)
        try:
            yield
        finally:
            self._hand_on()

    def _ask(self) -> Event | None:
        """Take a place, or a ticket that opens when one is ours."""
        with self._guard:
            if self._free:
                self._free -= 1
                return None
            ticket = Event()
            self._line.append(ticket)
            return ticket

    def _leave(self, ticket: Event) -> None:
        """Leave the line; nothing to do where the place came at the last moment."""
        with self._guard:
            if ticket in self._line:
                self._line.remove(ticket)
                raise TooLong

    def _hand_on(self) -> None:
        with self._guard:
            if self._line:
                self._line.popleft().set()
            else:
                self._free += 1
