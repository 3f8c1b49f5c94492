"""A merchant's system: an ASGI app that verifies with the official package, and records."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from standardwebhooks import Webhook, WebhookVerificationError
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.quick import PromptServer

DEADLINE_S = 20.0


@dataclass(frozen=True, slots=True)
class Received:
    """One request, as it came."""

    path: str
    headers: dict[str, str]
    body: bytes
    is_verified: bool

    @property
    def webhook_id(self) -> str:
        """Return the id that is the same on every attempt."""
        return self.headers["webhook-id"]

    @property
    def event(self) -> dict[str, Any]:
        """Return the event that the body holds."""
        event: dict[str, Any] = json.loads(self.body)
        return event


@dataclass(frozen=True, slots=True)
class Answer:
    """What the merchant says to one request."""

    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


Reaction = Callable[[Received], Awaitable[Answer]]


async def accept(_received: Received) -> Answer:
    """Say 204 to everything."""
    return Answer()


async def accept_genuine(received: Received) -> Answer:
    """Say 401 to what is not signed by us just now, as the official packages have one do."""
    return Answer(204 if received.is_verified else 401)


class FakeMerchant:
    """Records what it gets; `react` decides the answer, `secrets` what is genuine."""

    def __init__(self) -> None:
        """Start with no secret and a 204 for everything."""
        self.secrets: list[str] = []
        self.received: list[Received] = []
        self.react: Reaction = accept
        self.is_busy_with = 0
        self.busiest = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        body = await _body(receive)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        verified = any(_is_verified(secret, headers, body) for secret in self.secrets)
        received = Received(scope["path"], headers, body, verified)
        self.received.append(received)
        self.is_busy_with += 1
        self.busiest = max(self.busiest, self.is_busy_with)
        try:
            answer = await self.react(received)
        finally:
            self.is_busy_with -= 1
        pairs = [(name.encode(), value.encode()) for name, value in answer.headers.items()]
        await send({"type": "http.response.start", "status": answer.status, "headers": pairs})
        await send({"type": "http.response.body", "body": answer.body})

    def forget_refused(self) -> None:
        """Keep only what was genuine."""
        self.received = [received for received in self.received if received.is_verified]

    def events(self, *, type_: str | None = None) -> list[dict[str, Any]]:
        """Return the events received, pings left out unless asked for."""
        found = [received.event for received in self.received]
        return [e for e in found if e["type"] == type_ or (not type_ and e["type"] != "test.ping")]


@asynccontextmanager
async def serve(app: ASGIApp, *, ports: Sequence[int] = (0,)) -> AsyncIterator[str]:
    """Serve an app on the loopback by uvicorn; yield its URL, without a slash at the end."""
    listening = [_listen(port) for port in ports]
    config = uvicorn.Config(app, lifespan="off", log_level="critical", timeout_graceful_shutdown=1)
    server = PromptServer(config)
    serving = asyncio.create_task(server.serve(sockets=listening))
    await until(lambda: server.started)
    try:
        yield f"http://127.0.0.1:{listening[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving


async def until(is_so: Callable[[], bool], *, deadline_s: float = DEADLINE_S) -> None:
    """Return as soon as the condition holds. Raises: TimeoutError."""
    async with asyncio.timeout(deadline_s):
        while not is_so():  # noqa: ASYNC110 - what is waited for sets no event
            await asyncio.sleep(0.005)


async def _body(receive: Receive) -> bytes:
    parts = b""
    while True:
        part = await receive()
        parts += bytes(part.get("body", b""))
        if not part.get("more_body"):
            return parts


def _is_verified(secret: str, headers: dict[str, str], body: bytes) -> bool:
    try:
        Webhook(secret).verify(body, headers)
    except WebhookVerificationError:
        return False
    return True


def _listen(port: int) -> socket.socket:
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(("127.0.0.1", port))
    return listening
