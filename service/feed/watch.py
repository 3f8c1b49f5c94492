"""One look at the database for all open streams of this process, however many there are.

A commit of this process wakes the look at once; another process's shows at the next one. The
same look sees which keys were revoked. Everything here lives on the event loop; the look itself
is made on a thread and leaves no transaction behind.
"""

import asyncio
import contextlib
from collections.abc import Collection

import sqlalchemy as sa
import structlog
from anyio import CapacityLimiter, to_thread
from sqlmodel import col

from service.context import Context
from service.errors import DatabaseAway, ServiceError
from service.feed.pages import Page, Wanted, read_page
from service.store.keys import is_good_key
from service.store.tables import ApiKey, Feed
from service.wake import is_set_within

# How long another process's commit, or a revoked key, can stay unseen.
LOOK_S = 0.5
# On a busy feed a signal comes with every commit; so often is enough.
PAUSE_S = 0.02
# A merchant's system needs one, two while it is deployed; more are a client that leaks them.
STREAMS_PER_KEY_MAX = 10
# All streams together: the other threads and connections are for requests.
_READS_AT_ONCE = 2

log = structlog.get_logger(__name__)


class TooManyStreams(ServiceError):
    """This API key has as many streams open as it may."""


class OpenStream:
    """One reader who waits; it ends for the first reason that comes up."""

    def __init__(self, msn: str, key_id: str) -> None:
        """Start with nothing heard."""
        self.msn = msn
        self.key_id = key_id
        self.why_ended = ""
        self._news = asyncio.Event()
        self._ended = asyncio.Event()

    def tell(self) -> None:
        """Say that the feed has grown."""
        self._news.set()

    def forget(self) -> None:
        """Count as news only what comes from now on: call it before each read."""
        self._news.clear()

    async def hears(self, within_s: float) -> bool:
        """Return True at news, and False when the time is up."""
        return await is_set_within(self._news, within_s)

    def end(self, why: str) -> None:
        """Let it end, wherever it is; the first reason stands."""
        self.why_ended = self.why_ended or why
        self._ended.set()

    async def until_ended(self) -> None:
        """Return once it has to end."""
        await self._ended.wait()


class FeedWatch:
    """The open streams of this process, and the task that looks for all of them."""

    def __init__(self, context: Context) -> None:
        """Start with nobody to look for, and no task."""
        self._context = context
        self._streams: set[OpenStream] = set()
        self._heads: dict[str, int] = {}
        self._looking: asyncio.Task[None] | None = None
        self._is_closed = False
        self._limiter = CapacityLimiter(_READS_AT_ONCE)

    def open(self, msn: str, key_id: str) -> OpenStream:
        """Return a stream that is told of news until it is closed. Raises: TooManyStreams."""
        if sum(other.key_id == key_id for other in self._streams) >= STREAMS_PER_KEY_MAX:
            raise TooManyStreams
        stream = OpenStream(msn, key_id)
        self._streams.add(stream)
        if self._is_closed:
            stream.end("stopping")
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look_on())
        return stream

    def close(self, stream: OpenStream) -> None:
        """Tell this stream nothing any more; its place is free again."""
        self._streams.discard(stream)

    def end_all(self) -> None:
        """End every stream, and each that is still opened: the process stops."""
        self._is_closed = True
        for stream in self._streams:
            stream.end("stopping")

    async def read(self, wanted: Wanted) -> Page:
        """Return a page, in a transaction of its own. Raises: DatabaseAway."""
        return await to_thread.run_sync(self._read, wanted, limiter=self._limiter)

    async def _look_on(self) -> None:
        listener = self._context.wake.events.listen()
        try:
            while self._streams:
                with contextlib.suppress(DatabaseAway):  # it comes back; streams stay open
                    await self._look()
                await asyncio.sleep(PAUSE_S)
                await listener.wait(LOOK_S - PAUSE_S)
        except Exception as error:
            # The worker boundary: a stream that is told nothing must not look like a quiet one.
            log.error("feed_watch_failed", exc_info=error)
            for stream in self._streams:
                stream.end("failed")
        finally:
            listener.close()

    async def _look(self) -> None:
        msns = {stream.msn for stream in self._streams}
        keys = {stream.key_id for stream in self._streams}
        heads, good_keys = await to_thread.run_sync(self._read_state, msns, keys)
        for stream in self._streams:
            # One that was opened meanwhile is looked for the next time.
            if stream.key_id in keys - good_keys:
                stream.end("key_revoked")
            elif heads.get(stream.msn, 0) != self._heads.get(stream.msn, 0):
                stream.tell()
        self._heads = heads

    def _read_state(
        self, msns: Collection[str], keys: Collection[str]
    ) -> tuple[dict[str, int], set[str]]:
        heads = sa.select(col(Feed.msn), col(Feed.position)).where(col(Feed.msn).in_(msns))
        good = sa.select(col(ApiKey.id)).where(
            col(ApiKey.id).in_(keys), is_good_key(self._context.clock.now())
        )
        with self._context.database.snapshot() as session:
            found = {row.msn: row.position for row in session.execute(heads)}
            return found, set(session.scalars(good))

    def _read(self, wanted: Wanted) -> Page:
        with self._context.database.snapshot() as session:
            return read_page(session, self._context.vault, wanted)
