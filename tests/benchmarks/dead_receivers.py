"""The receivers of the benchmark, in a process of their own: one answers, one never does."""

import asyncio
import time
from multiprocessing.connection import Connection
from typing import ClassVar


class Healthy(asyncio.Protocol):
    """Answers 204 at once and notes when each event came first, by the service it came from."""

    arrived: ClassVar[dict[str, dict[str, float]]] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        """Answer every request that is whole."""
        at = time.monotonic()
        self._buffer += data
        while (end := _end_of_message(self._buffer)) is not None:
            head, self._buffer = self._buffer[:end].decode("latin-1"), self._buffer[end:]
            name = head.split(" ", 2)[1].strip("/")
            Healthy.arrived.setdefault(name, {}).setdefault(_header(head, "webhook-id"), at)
            self._transport.write(b"HTTP/1.1 204 No Content\r\n\r\n")


class Hanging(asyncio.Protocol):
    """Takes everything and says nothing."""


def serve_receivers(pipe: Connection) -> None:
    """Serve until the process is ended; for a service's name, give what has arrived from it."""
    asyncio.run(_serve(pipe))


async def _serve(pipe: Connection) -> None:
    loop = asyncio.get_running_loop()
    healthy = await loop.create_server(Healthy, "127.0.0.1", 0)
    hanging = await loop.create_server(Hanging, "0.0.0.0", 0, backlog=1_000)  # noqa: S104
    pipe.send([each.sockets[0].getsockname()[1] for each in (healthy, hanging)])
    while True:
        name = await asyncio.to_thread(pipe.recv)
        pipe.send(Healthy.arrived.pop(name, {}))


def _end_of_message(buffer: bytes) -> int | None:
    head = buffer.find(b"\r\n\r\n")
    if head < 0:
        return None
    length = int(_header(buffer[:head].decode("latin-1"), "content-length") or 0)
    end = head + 4 + length
    return end if len(buffer) >= end else None


def _header(head: str, name: str) -> str:
    for line in head.split("\r\n")[1:]:
        key, _, value = line.partition(":")
        if key.lower() == name:
            return value.strip()
    return ""
