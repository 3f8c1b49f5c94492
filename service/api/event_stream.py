"""`GET /v1/events/stream`: the feed as server-sent events, resumed by `Last-Event-ID`.

Each event is one `data:` line, the stored bytes, under the cursor after it as `id:`. Events have
no `event:` field: a reader who listens to names would never hear of a new one. An `id:` without
data only moves the place to resume from.
Source: html.spec.whatwg.org/multipage/server-sent-events.html
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

import structlog
from anyio import create_task_group, move_on_after
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from service.api.calls import Call, Handler
from service.api.feed_places import FIRST, cursor_after, position_of, wanted_types
from service.errors import DatabaseAway, NoLongerKept
from service.feed.pages import Page, Wanted
from service.feed.watch import FeedWatch, OpenStream

# Below the minute after which proxies and load balancers close what is silent.
HEARTBEAT_S = 15.0
# Who takes nothing for so long is gone or stuck, and can resume where it stopped.
SEND_WITHIN_S = 30.0
# What one stream holds of the feed while its reader is slow: at most so many events of 20 kB.
PAGE_LIMIT = 50

_RETRY_MS = 2000
_AGAIN_S = 1.0
_LAST_WORD_WITHIN_S = 0.5

log = structlog.get_logger(__name__)


def stream_events(watch: FeedWatch) -> Handler:
    """Return the handler of `GET /v1/events/stream`."""

    async def handle(call: Call) -> Response:
        query, msn = call.query, call.caller.msn
        types = wanted_types(query.several("types"))
        # A client that reconnects repeats the address; where it was then is what counts.
        last = call.request.headers.get("last-event-id")
        cursor, field = (last, "Last-Event-ID") if last else (query.text("cursor"), "cursor")
        after = await call.read(lambda session: position_of(session, msn, cursor or FIRST, field))
        stream = watch.open(msn, call.caller.key_id)
        return EventStream(watch, stream, Wanted(msn, after, PAGE_LIMIT, types))

    return handle


class EventStream(Response):
    """An answer that goes on for as long as somebody reads."""

    media_type = "text/event-stream"

    def __init__(self, watch: FeedWatch, stream: OpenStream, wanted: Wanted) -> None:
        """Take over the open stream; it is closed when the answer ends."""
        self.status_code = 200
        self.background = None
        # nginx would collect events until its buffer is full.
        self.init_headers({"X-Accel-Buffering": "no"})
        self._watch = watch
        self._stream = stream
        self._wanted = wanted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the reader goes, the key is revoked, or the process stops."""
        begun, writer = time.monotonic(), _Writer(send)
        start: Message = {
            "type": "http.response.start",
            "status": self.status_code,
            "headers": self.raw_headers,
        }
        try:
            await send(start)
            if scope["method"] != "HEAD":
                await self._run(receive, writer)
            with move_on_after(_LAST_WORD_WITHIN_S):  # a stuck reader won't take that either
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._watch.close(self._stream)
            log.info(
                "event_stream_ended",
                reason=self._stream.why_ended,
                trace_id=self.headers.get("x-trace-id"),
                count=writer.count,
                latency_ms=round((time.monotonic() - begun) * 1000),
            )

    async def _run(self, receive: Receive, writer: "_Writer") -> None:
        async with create_task_group() as group:

            async def end_with(wait: Callable[[], Awaitable[None]]) -> None:
                await wait()
                group.cancel_scope.cancel()

            async def gone() -> None:
                while (await receive())["type"] != "http.disconnect":
                    pass
                self._stream.end("reader_gone")

            group.start_soon(end_with, gone)
            group.start_soon(end_with, self._stream.until_ended)
            group.start_soon(end_with, lambda: self._write(writer))

    async def _write(self, writer: "_Writer") -> None:
        try:
            await self._follow(writer)
        except TimeoutError:
            self._stream.end("slow_reader")
        except NoLongerKept:
            # So slow that the feed's beginning has passed it: told so when it resumes.
            self._stream.end("no_longer_kept")
        except Exception as error:
            # The border of the service: the headers are sent, so it can only end, and say so here.
            self._stream.end("failed")
            log.error("event_stream_failed", exc_info=error)

    async def _follow(self, writer: "_Writer") -> None:
        msn, types, after = self._wanted.msn, self._wanted.types, self._wanted.after
        await writer.place(cursor_after(msn, after), b"retry: %d\n" % _RETRY_MS)
        while True:
            self._stream.forget()
            page = await self._next(Wanted(msn, after, PAGE_LIMIT, types))
            for entry in page.entries:
                await writer.event(cursor_after(msn, entry.position), entry.payload)
            after = page.position
            while page.is_last and not await self._stream.hears(HEARTBEAT_S):
                await writer.heartbeat(cursor_after(msn, after))

    async def _next(self, wanted: Wanted) -> Page:
        """Return the next page, also if the database is away for a while."""
        while True:
            try:
                return await self._watch.read(wanted)
            except DatabaseAway:
                await asyncio.sleep(_AGAIN_S)


class _Writer:
    """Puts blocks on the wire, each within its time, so that a stuck reader is known."""

    def __init__(self, send: Send) -> None:
        """Start before the first block."""
        self.count = 0
        self._send = send
        self._told_place = ""

    async def event(self, cursor: str, payload: bytes) -> None:
        """Send one event; its bytes hold no line break, since they are compact JSON."""
        await self._put(b"id: %b\ndata: %b\n\n" % (cursor.encode(), payload))
        self._told_place = cursor
        self.count += 1

    async def place(self, cursor: str, more: bytes = b"") -> None:
        """Send where to resume from, and nothing to handle."""
        await self._put(b"%bid: %b\n\n" % (more, cursor.encode()))
        self._told_place = cursor

    async def heartbeat(self, cursor: str) -> None:
        """Send a comment; where a filter has passed events over, also the place after them."""
        if cursor == self._told_place:
            # One line and no block: some clients would take an empty block for an event.
            await self._put(b": heartbeat\n")
        else:
            await self.place(cursor, b": heartbeat\n")

    async def _put(self, block: bytes) -> None:
        async with asyncio.timeout(SEND_WITHIN_S):
            await self._send({"type": "http.response.body", "body": block, "more_body": True})
