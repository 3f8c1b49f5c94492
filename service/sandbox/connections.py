"""HTTP/1.1 to the addresses of webhooks: a request's bytes out, the answer's status back.

A webhook needs no redirects, cookies, streams or encodings, and a client that has them all
took half of the time of each: tests/benchmarks/sandbox_rate.py.
"""

import asyncio
import ssl
from functools import cache
from typing import NamedTuple, cast

import httptools

# As much of an answer as is read, so that the connection can be used again; none of it
# is kept.
_ANSWER_BYTES_MAX = 65_536

# Shorter than servers commonly keep an idle connection, so that no attempt fails because
# the other side closed it at that very moment.
_KEEPALIVE_S = 2.0


class Server(NamedTuple):
    """Where connections go to."""

    host: str
    port: int
    is_secure: bool


class Connections:
    """Keep connections open between requests; use it inside its loop only.

    How many there are is bounded by how many requests are in flight.
    """

    def __init__(self) -> None:
        self._idle: dict[Server, list[_Connection]] = {}

    async def exchange(self, server: Server, request: bytes, *, timeout_s: float) -> int:
        """Send one whole request; return the status of its answer, once that is whole too.

        Raises: OSError, where nobody is there, talks HTTP or answers in time; ValueError,
        where the host's name can't be one.
        """
        deadline = asyncio.get_running_loop().time() + timeout_s
        connection = self._fresh(server) or await _connected(server, deadline)
        status = await connection.exchange(request, deadline)
        if connection.is_reusable:
            self._idle.setdefault(server, []).append(connection)
        return status

    def close(self) -> None:
        """Close all connections; nothing may be in flight any more."""
        for idle in self._idle.values():
            for connection in idle:
                connection.close()
        self._idle.clear()

    def _fresh(self, server: Server) -> "_Connection | None":
        idle = self._idle.get(server)
        # The one used last comes first, so that those beyond the need grow old.
        while idle:
            connection = idle.pop()
            if connection.is_fresh:
                return connection
            connection.close()
        return None


async def _connected(server: Server, deadline: float) -> "_Connection":
    loop = asyncio.get_running_loop()
    async with asyncio.timeout_at(deadline):
        _, connection = await loop.create_connection(
            _Connection, server.host, server.port, ssl=_tls() if server.is_secure else None
        )
    return connection


@cache
def _tls() -> ssl.SSLContext:
    # Made when first needed: it reads every certificate of the machine.
    return ssl.create_default_context()


class _Connection(asyncio.Protocol):
    """One connection, which carries one request after the other."""

    _transport: asyncio.Transport

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpResponseParser(self)
        self._answer: asyncio.Future[int] | None = None
        self._status = 0
        self._body_bytes = 0
        self._has_length = False
        self._idle_since = 0.0
        self.is_reusable = False

    @property
    def is_fresh(self) -> bool:
        """Say whether the other side should still be there for another request."""
        return self.is_reusable and self._loop.time() - self._idle_since < _KEEPALIVE_S

    async def exchange(self, request: bytes, deadline: float) -> int:
        """Send one request; return its answer's status. Raises: OSError."""
        self._status = self._body_bytes = 0
        self._has_length = self.is_reusable = False
        self._answer = self._loop.create_future()
        timer = self._loop.call_at(deadline, self._cut)
        self._transport.write(request)
        try:
            return await self._answer
        finally:
            timer.cancel()
            self._answer = None
            if not self.is_reusable:
                self._transport.abort()

    def close(self) -> None:
        """Hang up."""
        self._transport.close()

    def _cut(self) -> None:
        self._settle(0)
        self._transport.abort()

    # What the transport says.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own derives from nothing.

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._cut()

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_reusable = False
        self._settle(0 if self._has_length else self._status)

    # What the parser says.

    def on_message_begin(self) -> None:
        # An answer that nobody asked for would be taken for that to the next request.
        if self._answer is None or self._answer.done():
            self.is_reusable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        # One that names no length ends with the connection, and is whole then.
        self._has_length |= name.lower() in (b"content-length", b"transfer-encoding")

    def on_headers_complete(self) -> None:
        self._status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self._body_bytes > _ANSWER_BYTES_MAX:
            self._settle(self._status)

    def on_message_complete(self) -> None:
        if self._status >= 200:  # Below stand interim answers; the real one follows.
            self.is_reusable = self._parser.should_keep_alive()
            self._idle_since = self._loop.time()
            self._settle(self._status)

    def _settle(self, status: int) -> None:
        if self._answer is None or self._answer.done():
            return
        if status >= 200:
            self._answer.set_result(status)
        else:
            self._answer.set_exception(ConnectionError("no answer"))
