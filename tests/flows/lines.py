"""A line between the service and somebody else, with the faults that a network has."""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from tests.flows.processes import eventually

# Closed with this, a connection is reset (RST) instead of ended.
_RESET = struct.pack("ii", 1, 0)
_PIECE_BYTES = 1


@dataclass
class Line:
    """Passes connections on to `end`: a port of the loopback, or the path of a socket.

    Each fault is for all connections, and all directions but one are as they were."""

    end: int | str = 0
    port: int = field(init=False, default=0)
    held: int = 0  # answers that were on their way when the line lost that direction
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    _passes: asyncio.Event = field(default_factory=asyncio.Event)
    _is_sliced: bool = False
    _stop: asyncio.Event = field(default_factory=asyncio.Event)
    _near: set[asyncio.StreamWriter] = field(default_factory=set)

    @contextmanager
    def losing_answers(self) -> Iterator[None]:
        """Let requests through and no answer; what was lost is sent again afterwards, as by TCP."""
        self._soon(self._passes.clear)
        try:
            yield
        finally:
            self._soon(self._passes.set)

    @contextmanager
    def slicing(self) -> Iterator[None]:
        """Let everything through, one byte at a time."""
        self._is_sliced = True
        try:
            yield
        finally:
            self._is_sliced = False

    def end_answers(self) -> None:
        """Say that no more answers come, on each connection, while requests may."""
        self._on_each(asyncio.StreamWriter.write_eof)

    def reset(self) -> None:
        """Break each connection (RST)."""
        self._on_each(_break)

    @contextmanager
    def open(self) -> Iterator["Line"]:
        """Pass on for as long as the block goes on."""
        thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(),))
        thread.start()
        eventually(lambda: self.port, what="line open")
        try:
            yield self
        finally:
            self._soon(self._stop.set)
            thread.join()
            self._loop.close()

    async def _run(self) -> None:
        self._passes.set()
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        await self._stop.wait()
        server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await self._reach()
        except OSError:
            writer.close()
            return
        self._near.add(writer)
        pumps = [
            asyncio.create_task(self._pump(reader, far_writer)),
            asyncio.create_task(self._pump(far_reader, writer, is_answer=True)),
        ]
        try:
            await asyncio.gather(*pumps, return_exceptions=True)
        finally:
            self._near.discard(writer)
            for each in (writer, far_writer):
                each.close()

    async def _reach(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self.end, str):
            return await asyncio.open_unix_connection(self.end)
        return await asyncio.open_connection("127.0.0.1", self.end)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_answer: bool = False
    ) -> None:
        with contextlib.suppress(OSError, RuntimeError):  # where answers were ended
            while data := await reader.read(65_536):
                if is_answer and not self._passes.is_set():
                    self.held += 1
                    await self._passes.wait()
                size = _PIECE_BYTES if self._is_sliced else len(data)
                for start in range(0, len(data), size):
                    writer.write(data[start : start + size])
                    await writer.drain()
        with contextlib.suppress(OSError, RuntimeError):
            writer.write_eof()

    def _on_each(self, act: Callable[[asyncio.StreamWriter], None]) -> None:
        for near in tuple(self._near):
            self._soon(partial(act, near))

    def _soon(self, act: Callable[[], object]) -> None:
        self._loop.call_soon_threadsafe(act)


def _break(near: asyncio.StreamWriter) -> None:
    sock: socket.socket = near.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    near.transport.abort()
