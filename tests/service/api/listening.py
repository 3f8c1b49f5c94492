"""The API over real sockets, on the test's own loop; and a reader of server-sent events."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import orjson
import uvicorn
from starlette.types import ASGIApp

from tests.quick import PromptServer


@asynccontextmanager
async def listening(app: ASGIApp) -> AsyncIterator[str]:
    """Serve an app on a free port of the loopback; give its address."""
    taken = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app, lifespan="off", log_config=None, http="httptools", timeout_graceful_shutdown=3
    )
    server = PromptServer(config)
    serving = asyncio.create_task(server.serve(sockets=[taken]))
    try:
        async with asyncio.timeout(10):
            while not server.started:  # noqa: ASYNC110 - it has no event to wait for
                await asyncio.sleep(0.005)
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving


@dataclass(slots=True)
class Blocks:
    """What a stream has said: its last id, its events, and how often it only sent a comment."""

    lines: AsyncIterator[str]
    last_id: str = ""
    heartbeats: int = 0
    places: list[str] = field(default_factory=list)

    async def event(self) -> dict[str, Any]:
        """Return the next event. Raises: TimeoutError, StopAsyncIteration at the end."""
        return dict(orjson.loads(await self.data()))

    async def data(self) -> str:
        """Return the next event's own text."""
        data = ""
        async with asyncio.timeout(10):
            async for line in self.lines:
                name, _, value = line.partition(": ")
                if name == "":
                    self.heartbeats += line.startswith(":")
                if name == "id":
                    self.last_id = value
                    self.places.append(value)
                if name == "data":
                    data = value
                if not line and data:
                    return data
        raise StopAsyncIteration

    async def events(self, count: int) -> list[dict[str, Any]]:
        """Return so many events."""
        return [await self.event() for _ in range(count)]

    async def ends(self) -> None:
        """Return when the stream has ended in good order, with no further event."""
        async with asyncio.timeout(10):
            async for line in self.lines:
                assert not line.startswith("data"), line


@asynccontextmanager
async def streaming(
    client: httpx.AsyncClient, *, last_event_id: str = "", **params: str
) -> AsyncIterator[Blocks]:
    """Open a stream, which must be granted."""
    headers = {"Last-Event-ID": last_event_id} if last_event_id else {}
    async with client.stream("GET", "/v1/events/stream", params=params, headers=headers) as got:
        assert got.status_code == 200, (await got.aread()).decode()
        assert got.headers["content-type"].startswith("text/event-stream")
        yield Blocks(got.aiter_lines())


@asynccontextmanager
async def calling(url: str, like: httpx.AsyncClient) -> AsyncIterator[httpx.AsyncClient]:
    """Open a client of that address with another client's key."""
    headers = {"Authorization": like.headers["Authorization"]}
    async with httpx.AsyncClient(base_url=url, headers=headers, trust_env=False) as client:
        yield client
