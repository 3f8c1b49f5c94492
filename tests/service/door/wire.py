"""A front door on a real socket, and hands that knock in every wrong way."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import cast

import uvicorn
from starlette.types import Receive, Scope, Send

from service.door import FrontDoor, Limits
from tests.fake_merchant import until

# As long as deadlines need to be for a machine with other work, and no longer.
SOON_S = 0.4
QUICK = Limits(
    headers_s=SOON_S,
    body_s=SOON_S,
    idle_s=SOON_S,
    answer_s=SOON_S,
    stalled_s=SOON_S,
    look_every_s=0.05,
)
# Nothing is due within a test.
PATIENT = Limits(look_every_s=0.05)


@dataclass
class House:
    """What stands behind the door: answers with how long the body was."""

    port: int = 0
    scopes: list[Scope] = field(default_factory=list)
    told_gone: int = 0
    release: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read all of it, then answer; under /webhooks/ and /held only when released."""
        self.scopes.append(scope)
        size, is_whole = 0, False
        while not is_whole:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.told_gone += 1
                return
            size += len(message.get("body", b""))
            is_whole = not message.get("more_body", False)
        if scope["path"].startswith(("/webhooks/", "/held")):
            await self.release.wait()
        body = b"x" * 8_000_000 if scope["path"] == "/big" else str(size).encode()
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def house(limits: Limits) -> AsyncIterator[House]:
    """Serve a house behind a door with these limits."""
    app = House()
    config = uvicorn.Config(
        app,
        http=cast(type[asyncio.Protocol], FrontDoor(limits)),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        timeout_keep_alive=round(limits.idle_s + 0.5),
        timeout_graceful_shutdown=1,
    )
    async with served(app, config):
        yield app


@asynccontextmanager
async def served(app: House, config: uvicorn.Config) -> AsyncIterator[None]:
    """Serve a house so, on a free port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        app.port = listening.getsockname()[1]
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve([listening]))
        await until(lambda: server.started)
        try:
            yield
        finally:
            app.release.set()
            server.should_exit = True
            await serving


@dataclass
class Hand:
    """One connection to the door."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def say(self, text: bytes) -> None:
        """Send bytes."""
        self.writer.write(text)
        await self.writer.drain()

    async def status(self) -> int:
        """Return the status of the next answer, whose body is left out; 0 where none comes."""
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return 0
        size = head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]
        await self.reader.readexactly(int(size))
        return int(head[9:12])

    async def rest(self) -> bytes:
        """Return all that comes until the other side ends it."""
        try:
            return await self.reader.read(-1)
        except ConnectionError:
            return b""

    async def __aenter__(self) -> "Hand":
        """Hold it."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Let go."""
        await self.drop()

    async def drop(self) -> None:
        """Let go, whatever became of it."""
        self.writer.close()
        with suppress(ConnectionError):
            await self.writer.wait_closed()


async def knock(at: House, text: bytes = b"", *, source: str = "127.0.0.1") -> Hand:
    """Connect from an address of this machine, and say something."""
    reader, writer = await asyncio.open_connection("127.0.0.1", at.port, local_addr=(source, 0))
    hand = Hand(reader, writer)
    if text:
        await hand.say(text)
    return hand
