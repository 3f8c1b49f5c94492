"""Letting go of what is kept for a time only: by itself, and by `betalbar retention`."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
import structlog
from anyio import to_thread

from service.context import Context
from service.errors import DatabaseAway
from service.settings import Settings
from service.store.forgetting import forget_older
from service.store.inserts import table_of
from service.store.tables import Attempt, StaffSession, StoredAnswer
from service.wake import is_set_within

LOOK_EVERY_S = 300.0
# A commit of some milliseconds, and a pause in which all others have the database: a log of
# millions is gone within the hour, and nobody has noticed.
AT_ONCE = 500
_PAUSE_S = 0.25

# The contract's own: so long the same Idempotency-Key gets the same answer (section 6).
ANSWERS_KEPT = timedelta(days=30)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Kept:
    """One thing that is kept for a time, from the instant in a column on."""

    name: str
    at: sa.Column[datetime]
    kept_for: timedelta


def what_is_kept(settings: Settings) -> tuple[Kept, ...]:
    """Return all that is let go of, and after which time.

    Invoices, transitions and events are not among it: they are the books, and a cursor of the
    feed is good however old it is."""
    attempts_kept = timedelta(days=settings.attempts_kept_days)
    return (
        Kept("attempts of deliveries", table_of(Attempt).c.at, attempts_kept),
        Kept("answers to an Idempotency-Key", table_of(StoredAnswer).c.created_at, ANSWERS_KEPT),
        Kept("ended sessions", table_of(StaffSession).c.ends_at, timedelta()),
    )


class Cleaner:
    """Deletes what is old until it is told to stop; any number of processes."""

    def __init__(self, context: Context) -> None:
        """Keep what is needed; nothing is looked at yet."""
        self._context = context

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set."""
        wait_s = _PAUSE_S
        while not await is_set_within(stop, wait_s):
            has_more = await to_thread.run_sync(self.clean)
            wait_s = _PAUSE_S if has_more else LOOK_EVERY_S

    def clean(self) -> bool:
        """Delete some of what is too old; True where there may be more."""
        try:
            kinds = what_is_kept(self._context.settings)
            return any([clean_some(self._context, kept) == AT_ONCE for kept in kinds])
        except DatabaseAway:
            log.warning("not_cleaned", reason="DatabaseAway")
        except Exception:
            # The worker boundary: the next look may do better.
            log.exception("not_cleaned")
        return False


def clean_some(context: Context, kept: Kept) -> int:
    """Delete a piece of what is too old of one kind; return how many rows. Raises: DatabaseAway."""
    before = context.clock.now() - kept.kept_for
    with context.database.transaction() as session:
        return forget_older(session, kept.at, before=before, limit=AT_ONCE)


def clean_all(context: Context, kept: Kept) -> Iterator[int]:
    """Delete all that is too old of one kind; yield how many, piece by piece.

    Whoever is stopped begins again with what is left. Raises: DatabaseAway."""
    while count := clean_some(context, kept):
        yield count
