"""Connections are let in as they come, however long a turn of the loop takes.

uvloop takes one of them from the kernel in each turn (libuv, pull request 3696). Under load a turn
takes long, and two thousand then wait for a minute with all that they have sent: outside the door,
where no deadline of its own counts.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import structlog
import uvloop

# In one turn: some twenty milliseconds, so that those who are inside do not wait for the others.
AT_ONCE = 256
# No file is left for a connection, perhaps: whoever waits is asked in again then.
_REST_S = 1.0

Protocols = Callable[[], asyncio.BaseProtocol]

log = structlog.get_logger(__name__)


class Listening:
    """A socket at which connections are taken; to uvicorn, one of its servers."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, sock: socket.socket, new: Protocols
    ) -> None:
        """Let connections in from now on, each to a new protocol."""
        self._loop = loop
        self._socket = sock
        self._new = new
        self._entering: set[asyncio.Task[Any]] = set()
        self._resting: asyncio.TimerHandle | None = None
        sock.setblocking(False)
        self._open()

    def close(self) -> None:
        """Let nobody in any more."""
        self._loop.remove_reader(self._socket)
        if self._resting is not None:
            self._resting.cancel()

    async def wait_closed(self) -> None:
        """Return at once: nothing is left to do."""

    def _open(self) -> None:
        self._loop.add_reader(self._socket, self._let_in)

    def _let_in(self) -> None:
        for _ in range(AT_ONCE):
            try:
                connection, _ = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                log.error("connections_wait", reason=type(error).__name__)
                self._loop.remove_reader(self._socket)
                self._resting = self._loop.call_later(_REST_S, self._open)
                return
            connection.setblocking(False)
            entering = self._loop.create_task(
                self._loop.connect_accepted_socket(self._new, connection)
            )
            self._entering.add(entering)
            entering.add_done_callback(self._has_entered)

    def _has_entered(self, entering: "asyncio.Task[Any]") -> None:
        self._entering.discard(entering)
        if not entering.cancelled() and (error := entering.exception()) is not None:
            log.warning("connection_lost", reason=type(error).__name__)


class Loop(uvloop.Loop):
    """uvloop's loop, but for how a server lets connections in."""

    async def create_server(  # type: ignore[override] # uvicorn's way of asking, and no other
        self, protocol_factory: Protocols, *, sock: socket.socket, ssl: None, backlog: int
    ) -> Listening:
        """Let connections in at a socket that is bound already, without TLS."""
        sock.listen(backlog)
        return Listening(self, sock, protocol_factory)
