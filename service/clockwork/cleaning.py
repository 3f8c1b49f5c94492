"""Letting go of what is kept for a time only: the log of attempts."""

import asyncio
from datetime import timedelta

import structlog
from anyio import to_thread

from service.context import Context
from service.errors import DatabaseAway
from service.outbox.delivery_log import forget_attempts

LOOK_EVERY_S = 300.0
# A commit of some milliseconds, and a pause in which all others have the database: a log of
# millions is gone within the hour, and nobody has noticed.
AT_ONCE = 500
_PAUSE_S = 0.25

log = structlog.get_logger(__name__)


class Cleaner:
    """Deletes what is old until it is told to stop; any number of processes."""

    def __init__(self, context: Context) -> None:
        """Keep what is needed; nothing is looked at yet."""
        self._context = context

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set."""
        wait_s = _PAUSE_S
        while not await _is_set_within(stop, wait_s):
            has_more = await to_thread.run_sync(self.clean)
            wait_s = _PAUSE_S if has_more else LOOK_EVERY_S

    def clean(self) -> bool:
        """Delete some of what is too old; True where there may be more."""
        kept = timedelta(days=self._context.settings.attempts_kept_days)
        try:
            with self._context.database.transaction() as session:
                before = self._context.clock.now() - kept
                return forget_attempts(session, before=before, limit=AT_ONCE) == AT_ONCE
        except DatabaseAway:
            log.warning("not_cleaned", reason="DatabaseAway")
        except Exception:
            # The worker boundary: the next look may do better.
            log.exception("not_cleaned")
        return False


async def _is_set_within(stop: asyncio.Event, wait_s: float) -> bool:
    try:
        return await asyncio.wait_for(stop.wait(), wait_s)
    except TimeoutError:
        return False
