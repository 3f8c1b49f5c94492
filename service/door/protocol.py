"""Uvicorn's protocol with an end to every wait, and a limit to every size.

Uvicorn has neither a deadline for a request nor, with this parser, a limit for its headers; its own
advice is a proxy that has both. Here is what such a proxy would do, so that one may stand in front
and none has to. What is added costs about a microsecond per request.
"""

import asyncio
import math
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from service.door.answers import raw_answer
from service.door.guests import Guests
from service.door.limits import (
    BODY_BYTES_PER_S,
    HEAD_BYTES_MAX,
    HEADERS_MAX,
    HURRIED_PATH,
    LINGER_BYTES_MAX,
    LINGER_S,
    Limits,
)


class _HeadTooLarge(Exception):
    """Stops the parser; nobody sees it but uvicorn, which asks for a 400."""


class GuardedProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(
        self,
        guests: Guests,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        """Wait for a connection, which `guests` may have room for."""
        super().__init__(config, server_state, app_state, _loop)
        self._guests = guests
        self._limits = guests.limits
        self._address: str | None = None
        self._is_refused = False
        self._ignored_bytes = 0
        # What is awaited must be there by then.
        self._due_at = math.inf
        self._answer_due_at = math.inf
        # Of the request that is coming in.
        self._is_coming = False
        self._is_in_head = True
        self._began_here = False
        self._head_bytes = 0
        self._body_bytes = 0
        self._is_head_too_large = False
        # Of the answer that is going out.
        self._unsent_bytes = 0
        self._unsent_since = 0.0

    # What the transport says.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let the connection in, or refuse it."""
        super().connection_made(transport)  # type: ignore[arg-type] # uvicorn's is narrower
        self._due_at = self.loop.time() + self._limits.headers_s
        self._address = self._guests.enter(self, self.client[0] if self.client else None)
        if self._address is None:
            self.refuse(503)

    def connection_lost(self, exc: Exception | None) -> None:
        """Count the connection out."""
        super().connection_lost(exc)
        self._guests.leave(self, self._address)

    def data_received(self, data: bytes) -> None:
        """Parse what came, unless this one has been refused."""
        if self._is_refused:
            self._ignored_bytes += len(data)
            if self._ignored_bytes > LINGER_BYTES_MAX:
                self.transport.abort()
            return
        self._began_here, was_in_head = False, self._is_in_head
        super().data_received(data)
        # What began within this piece is at most as long as a piece may be, and is measured once
        # it is whole; only what goes on and on has to be stopped before.
        if was_in_head and self._is_in_head and not self._began_here:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES_MAX:
                self._is_head_too_large = True
                self.refuse(431)

    # What the parser says.

    def on_message_begin(self) -> None:
        """Start the deadline for the headers."""
        super().on_message_begin()
        self._is_coming = self._began_here = True
        self._head_bytes = 0
        self._due_at = min(self._due_at, self.loop.time() + self._limits.headers_s)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, if it is one, and not one too many."""
        if not self._is_in_head:
            return  # a trailer, which must not become a header of a request that is at work
        if len(self.headers) >= HEADERS_MAX:
            self._is_head_too_large = True
            raise _HeadTooLarge
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Start the deadline for the body, and the application."""
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > HEAD_BYTES_MAX:
            self._is_head_too_large = True
            raise _HeadTooLarge
        now = self.loop.time()
        self._is_in_head = False
        self._body_bytes = 0
        self._due_at = now + self._limits.body_s
        is_hurried = self.url.startswith(HURRIED_PATH.encode())
        self._answer_due_at = math.inf
        if is_hurried:  # who sent it has waited since before we could read it
            self._answer_due_at = now + self._limits.answer_s - self._guests.late_s(now)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Give whoever sends fast more time."""
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End the wait: it is our turn."""
        super().on_message_complete()
        self._is_coming, self._is_in_head, self._head_bytes = False, True, 0
        if self.cycle.response_complete:
            self._rest()
        else:
            self._due_at = math.inf
            self._guests.is_served(self)

    def on_response_complete(self) -> None:
        """Wait for the next request, unless one is coming already."""
        super().on_response_complete()
        self._answer_due_at = math.inf
        if not self._is_coming and not self.pipeline and self.cycle.response_complete:
            self._rest()

    def _rest(self) -> None:
        # Beyond the usual time of an idle connection: empty lines would put that off for ever.
        self._due_at = self.loop.time() + self._limits.idle_s + self._limits.headers_s
        self._guests.waits(self)

    # What the look at everybody says.

    def look(self, now: float) -> None:
        """End what has waited for too long. Called once a second."""
        if now >= self._due_at:
            self._is_late(now)
        if now >= self._answer_due_at and not self.pipeline and not self.cycle.response_started:
            self._guests.note("not answered in time")
            self.refuse(503)
        unsent = self.transport.get_write_buffer_size()
        if unsent == 0 or unsent != self._unsent_bytes:
            self._unsent_bytes, self._unsent_since = unsent, now
        elif now - self._unsent_since > self._limits.stalled_s:
            self._guests.note("took no answer")
            self.transport.abort()

    def give_way(self) -> None:
        """Leave the place to somebody else."""
        self._break_off()
        self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Say why nothing can be made of what came. Called by uvicorn."""
        self.refuse(431 if self._is_head_too_large else 400)

    def refuse(self, status: int) -> None:
        """Answer so, and hear nothing more."""
        if self._is_refused:
            return
        self._is_refused = True
        self._due_at, self._answer_due_at = self.loop.time() + LINGER_S, math.inf
        is_half_answered = self._break_off()
        if is_half_answered or self.transport.is_closing() or not self._guests.may_linger(self):
            self.transport.abort()
            return
        self.transport.write(raw_answer(status))
        # With bytes unread, closing would be a reset, and the answer would be lost with it.
        self.transport.write_eof()

    def _is_late(self, now: float) -> None:
        if self._is_refused:
            self.transport.abort()
        elif self.flow.read_paused:
            # Not they are late, but we, who have not yet taken what they sent.
            self._due_at = now + self._limits.body_s
        elif now >= self._due_at + self._body_bytes / BODY_BYTES_PER_S:
            self._guests.note("too slow")
            if self._is_coming:
                self.refuse(408)
            else:
                self.transport.abort()

    def _break_off(self) -> bool:
        """Tell the application that nobody listens; True where its answer has begun."""
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            return bool(self.pipeline)
        cycle.disconnected = True
        cycle.message_event.set()
        return cycle.response_started or bool(self.pipeline)


class FrontDoor:
    """Makes the protocol of each connection; give it to uvicorn as `http`.

    It is sent to each process before anything has come, and counts there by itself."""

    def __init__(self, limits: Limits) -> None:
        """Start with nobody inside."""
        self._guests = Guests(limits)

    def __call__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> GuardedProtocol:
        """Return the protocol of a new connection."""
        return GuardedProtocol(self._guests, config, server_state, app_state, _loop)
