"""A machine's clock that jumps: seen beside one that can't, and what follows from it.

What is planned is planned by the time of day, since it must outlive the process. What was planned
under a clock that ran a year ahead would wait for that year.
"""

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta

import structlog
from anyio import to_thread

from service.context import Context
from service.errors import DatabaseAway
from service.store.leases import bring_forward
from service.wake import LOOK_S, is_set_within

# Where clocks are kept right they move by less; what waits so much too long, nobody notices.
BACK_S = 60.0
# What was under way while it went back may store what it has planned some seconds later.
MEND_S = 10.0
# What is decided by the clock is decided by days: an hour too early harms nobody.
AHEAD_S = 3600.0
# A clock that was put wrong by a slip is mostly put right by then; a true one may be so late.
DOUBT_S = 600.0
# On Linux this one goes on while the machine sleeps, so that waking up is no jump.
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

log = structlog.get_logger(__name__)


def steady_s() -> float:
    """Return the seconds of a clock that nobody can set."""
    return time.clock_gettime(_STEADY)


def always() -> bool:
    """Believe a clock that nobody watches."""
    return True


class ClockWatch:
    """Watches this process's clock, and mends what it has planned while it was wrong."""

    def __init__(self, context: Context, steady: Callable[[], float] = steady_s) -> None:
        """Take the clock for right as it is now."""
        self._context = context
        self._steady = steady
        self._ahead_s = self._offset_s()
        self._doubted_until = self._mend_until = steady()
        self._back_s = 0.0

    def is_believed(self) -> bool:
        """Tell whether what can't be undone may be done because of the time.

        Not for a while after it has jumped ahead: what it says is over would be let go of."""
        has_jumped = self._offset_s() - self._ahead_s > AHEAD_S  # and was not looked at since
        return not has_jumped and self._steady() >= self._doubted_until

    async def run(self, stop: asyncio.Event) -> None:
        """Watch until `stop` is set."""
        while not await is_set_within(stop, LOOK_S):
            await to_thread.run_sync(self.look)

    def look(self) -> None:
        """Look at the clock; where it went back, what it has planned before is due soon."""
        ahead_s, at = self._offset_s(), self._steady()
        jumped_s, self._ahead_s = ahead_s - self._ahead_s, ahead_s
        if abs(jumped_s) > BACK_S:
            log.warning("clock_jumped", seconds=round(jumped_s))
        if jumped_s > AHEAD_S:
            self._doubted_until = at + DOUBT_S
        elif jumped_s < -BACK_S:
            self._doubted_until, self._mend_until, self._back_s = at, at + MEND_S, -jumped_s
        if at < self._mend_until:
            self._mend()

    def _mend(self) -> None:
        back = timedelta(seconds=self._back_s - BACK_S / 2)
        now, business_now = self._context.clock.now(), self._context.clock.business_now()
        try:
            with self._context.database.transaction() as session:
                bring_forward(session, now=now, business_now=business_now, beyond=back)
        except DatabaseAway:
            log.warning("not_brought_forward", reason="DatabaseAway")
            self._mend_until = self._steady() + MEND_S
        except Exception:
            # The worker boundary: without it nobody would see the next jump.
            log.exception("not_brought_forward")
        else:
            self._context.wake.set_all_work()

    def _offset_s(self) -> float:
        return self._context.clock.now().timestamp() - self._steady()
