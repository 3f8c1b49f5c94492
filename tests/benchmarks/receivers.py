"""Receivers that take everything, in a process of their own, and remember what came."""

import asyncio
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import cast

import uvloop

# After this long without anything new, what is missing does not come.
_PATIENCE_S = 20.0


@dataclass(frozen=True, slots=True)
class Arrived:
    """One request that came, and when, on the machine's monotonic clock."""

    event: str
    at: float
    headers: Mapping[str, str]


class Receiver(asyncio.Protocol):
    """Answers 204 at once; what came is kept by path."""

    def __init__(self, arrived: dict[str, list[tuple[float, bytes]]]) -> None:
        """Take what all connections share."""
        self._arrived = arrived
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's has other ancestors

    def data_received(self, data: bytes) -> None:
        """Answer every request that is whole; it is understood later, when nobody waits."""
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n") + 4) >= 4:
            head = self._buffer[:end].lower()
            length = int(head.partition(b"content-length: ")[2].split(b"\r\n", 1)[0])
            if len(self._buffer) < end + length:
                return
            path = self._buffer[6 : self._buffer.index(b" ", 6)].decode()
            self._arrived.setdefault(path, []).append((time.monotonic(), self._buffer[:end]))
            self._buffer = self._buffer[end + length :]
            self._transport.write(b"HTTP/1.1 204 No Content\r\n\r\n")


def serve_receivers(pipe: Connection) -> None:
    """Serve on every loopback address until the process is ended.

    Says its port. For a number, answers what has come by path once it is so many requests."""
    # What the parent has set would wait for the thread that waits for the parent.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    uvloop.run(_serve(pipe))


async def _serve(pipe: Connection) -> None:
    arrived: dict[str, list[tuple[float, bytes]]] = {}
    loop = asyncio.get_running_loop()
    everywhere = "0.0.0.0"  # noqa: S104
    server = await loop.create_server(lambda: Receiver(arrived), everywhere, 0, backlog=1_000)
    pipe.send(server.sockets[0].getsockname()[1])
    while True:
        wanted = await asyncio.to_thread(pipe.recv)
        await _until(arrived, wanted)
        pipe.send({path: [_understood(*one) for one in ones] for path, ones in arrived.items()})
        arrived.clear()


async def _until(arrived: Mapping[str, list[tuple[float, bytes]]], wanted: int) -> None:
    count, since = -1, time.monotonic()
    while (now := sum(map(len, arrived.values()))) < wanted:
        if now > count:
            count, since = now, time.monotonic()
        elif time.monotonic() > since + _PATIENCE_S:
            return
        await asyncio.sleep(0.002)


def _understood(at: float, head: bytes) -> Arrived:
    lines = (line.partition(": ") for line in head.decode("latin-1").split("\r\n")[1:])
    headers = {name.lower(): value for name, _, value in lines if name}
    return Arrived(headers["webhook-id"], at, headers)
