"""Live updates: an open page hears that something has changed, and asks for itself again.

One look at the database a second serves all open pages of this process, however many there are,
and sees too who was let go or has been away for too long. Nothing but "there is news" is sent, so
that what a page shows has one source: the page. Without it every page works as well.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import sqlalchemy as sa
import structlog
from anyio import to_thread
from sqlmodel import col
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from service.console.gate import Gate
from service.context import Context
from service.errors import DatabaseAway, Unauthorized
from service.staff.sessions import SignedIn, signed_in
from service.store.tables import Feed

LOOK_S = 1.0
# Below the minute after which proxies close what is silent.
HEARTBEAT_S = 15.0
# A page asks for itself after each: on a busy feed so often is enough.
PAUSE_S = 2.0
# Twenty people with some pages each; whoever comes later reloads by hand.
OPEN_MAX = 200

log = structlog.get_logger(__name__)


@dataclass(eq=False)
class _Page:
    """One open page: whose, and what it has not been told yet."""

    token: str = field(repr=False)
    msn: str
    seen: int  # the feed's position that it shows
    news: asyncio.Event = field(default_factory=asyncio.Event)
    is_over: bool = False
    is_signed_out: bool = False

    def end(self, *, is_signed_out: bool = False) -> None:
        """Tell it nothing more; who is not signed out may listen again."""
        self.is_over, self.is_signed_out = True, is_signed_out
        self.news.set()


class Live:
    """The open pages of this process, and the task that looks for all of them."""

    def __init__(self, gate: Gate) -> None:
        """Start with no page open, and no task."""
        self._gate = gate
        self._pages: set[_Page] = set()
        self._looking: asyncio.Task[None] | None = None
        self._is_closed = False

    def route(self) -> Route:
        """Return the route that open pages listen to."""
        return Route("/console/live", self._listen, methods=["GET"])

    def end(self) -> None:
        """End every stream: the process stops."""
        self._is_closed = True
        for page in self._pages:
            page.end()

    async def _listen(self, request: Request) -> Response:
        token = self._gate.token(request)
        try:
            who = await to_thread.run_sync(_who, self._gate.context, token)
        except Unauthorized:
            return Response(status_code=401)
        except DatabaseAway:
            return Response(status_code=503)
        if len(self._pages) >= OPEN_MAX or self._is_closed:
            return Response(status_code=503, headers={"Retry-After": "30"})
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        seen = request.query_params.get("seen", "")
        page = _Page(token, who.msn, int(seen) if seen.isdecimal() and len(seen) < 19 else 0)
        stream = self._tell(page)
        return StreamingResponse(stream, headers=headers, media_type="text/event-stream")

    async def _tell(self, page: _Page) -> AsyncIterator[bytes]:
        self._pages.add(page)
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look_on())
        try:
            yield b"retry: 5000\n\n"
            while not page.is_over:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(HEARTBEAT_S):
                        await page.news.wait()
                has_news = page.news.is_set() and not page.is_over
                page.news.clear()
                yield b"event: news\ndata: \n\n" if has_news else b": still here\n\n"
                if has_news:
                    await asyncio.sleep(PAUSE_S)
            if page.is_signed_out:
                yield b"event: over\ndata: \n\n"
        finally:
            self._pages.discard(page)

    async def _look_on(self) -> None:
        while self._pages and not self._is_closed:
            try:
                await self._look()
            except DatabaseAway:
                pass  # it comes back; the pages stay open
            except Exception as error:
                # The worker boundary: a page that is told nothing must not look like a quiet one.
                log.error("console_live_failed", exc_info=error)
                for page in self._pages:
                    page.end()
                return
            await asyncio.sleep(LOOK_S)

    async def _look(self) -> None:
        pages = list(self._pages)
        tokens = {page.token for page in pages}
        heads, good = await to_thread.run_sync(_state, self._gate.context, tokens)
        for page in pages:
            if good.get(page.token) != page.msn:
                page.end(is_signed_out=True)
            elif heads.get(page.msn, 0) != page.seen:
                page.seen = heads.get(page.msn, 0)
                page.news.set()


def _who(context: Context, token: str) -> SignedIn:
    with context.database.snapshot() as session:
        return signed_in(session, context.vault, token, now=context.clock.now())


def _state(context: Context, tokens: set[str]) -> tuple[dict[str, int], dict[str, str]]:
    """Return how far each feed is, and which sales unit each cookie looks at now."""
    good: dict[str, str] = {}
    with context.database.snapshot() as session:
        for token in tokens:
            with contextlib.suppress(Unauthorized):
                now = context.clock.now()
                good[token] = signed_in(session, context.vault, token, now=now).msn
        heads = session.execute(sa.select(col(Feed.msn), col(Feed.position))).all()
    return {msn: position for msn, position in heads}, good
