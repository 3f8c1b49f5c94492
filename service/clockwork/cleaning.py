"""Letting go of what is kept for a time only: by itself, and by `betalbar retention`."""

import asyncio
from collections.abc import Callable, Iterator

import structlog
from anyio import to_thread

from service.clockwork.jumps import always
from service.context import Context
from service.errors import DatabaseAway
from service.keeping.archive import Archive, ArchiveAway
from service.keeping.kinds import Kept, archive_of, what_is_kept
from service.wake import is_set_within

LOOK_EVERY_S = 300.0
_PAUSE_S = 0.25

log = structlog.get_logger(__name__)


class Cleaner:
    """Deletes what is old until it is told to stop; any number of processes."""

    def __init__(self, context: Context, may_decide: Callable[[], bool] = always) -> None:
        """Keep what is needed; nothing is looked at yet. `may_decide`: whether the time is sure."""
        self._context = context
        self._may_decide = may_decide
        self._kinds = what_is_kept(context)
        self._archive = archive_of(context)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set."""
        wait_s = _PAUSE_S
        while not await is_set_within(stop, wait_s):
            has_more = await to_thread.run_sync(self.clean)
            wait_s = _PAUSE_S if has_more else LOOK_EVERY_S

    def clean(self) -> bool:
        """Delete some of what is too old; True where there may be more."""
        if not self._may_decide():
            return False
        try:
            return any([self._clean_some(kept) for kept in self._kinds])
        except (DatabaseAway, ArchiveAway) as error:
            log.warning("not_cleaned", reason=type(error).__name__)
        except Exception:
            # The worker boundary: the next look may do better.
            log.exception("not_cleaned")
        return False

    def _clean_some(self, kept: Kept) -> bool:
        piece = kept.forget(self._context, self._archive, kept.kept_for)
        if kept.look_again is not None and not piece.has_more:
            kept.look_again(self._context, self._archive, kept.kept_for)
        return piece.has_more


def clean_all(context: Context, archive: Archive, kept: Kept) -> Iterator[int]:
    """Delete all that is too old of one kind; yield how many, piece by piece.

    Whoever is stopped begins again with what is left. Raises: DatabaseAway, ArchiveAway."""
    for forget in filter(None, (kept.forget, kept.look_again)):
        has_more = True
        while has_more:
            piece = forget(context, archive, kept.kept_for)
            has_more = piece.has_more
            yield piece.count
