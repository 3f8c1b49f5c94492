"""A stand-in for Vipps at the HTTP client's own seam: it records, and answers as told."""

import asyncio
from dataclasses import dataclass
from typing import Any

import httpx
import orjson

from service.vipps.client import VippsClient, new_http
from tests.service.vipps.builders import REFERENCE

BASE_URL = "https://api.vipps.no"
TOKEN_PATH = "/accesstoken/get"


@dataclass(frozen=True)
class Reply:
    """One answer to give, as bytes."""

    status: int
    content: bytes
    headers: dict[str, str]

    def response(self) -> httpx.Response:
        """Return it as a stream, which is how a network gives it."""
        return httpx.Response(
            self.status, headers=self.headers, stream=httpx.ByteStream(self.content)
        )


def a_reply(
    status: int = 200, body: object = None, *, headers: dict[str, str] | None = None
) -> Reply:
    """Return an answer with this body: bytes as they are, else as JSON."""
    content = body if isinstance(body, bytes) else orjson.dumps(body or {"reference": REFERENCE})
    return Reply(status, content, headers or {})


class FakeVipps(httpx.AsyncBaseTransport):
    """Hands out numbered tokens and gives every other call the next of `replies`, or 200."""

    def __init__(self, *replies: Reply) -> None:
        """Keep the replies to give, in order; the last one is given for ever."""
        self.replies = list(replies)
        self.token_body: dict[str, Any] = {"token_type": "Bearer", "expires_in": "3600"}
        self.token_reply: Reply | None = None
        self.token_asked = asyncio.Event()
        self.token_gate: asyncio.Event | None = None  # where it is set, tokens wait at it
        self.requests: list[httpx.Request] = []
        self.seconds = 1000.0

    @property
    def token_requests(self) -> list[httpx.Request]:
        """Return the requests for a token."""
        return [r for r in self.requests if r.url.path == TOKEN_PATH]

    @property
    def calls(self) -> list[httpx.Request]:
        """Return all other requests."""
        return [r for r in self.requests if r.url.path != TOKEN_PATH]

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Record the request and answer it."""
        self.requests.append(request)
        if request.url.path == TOKEN_PATH:
            return await self._token()
        if len(self.replies) > 1:
            return self.replies.pop(0).response()
        return (self.replies[0] if self.replies else a_reply()).response()

    def client(self, **options: Any) -> VippsClient:
        """Return a client that reaches this Vipps; its monotonic clock is `seconds`."""
        return VippsClient(
            BASE_URL, new_http(self), **({"monotonic": lambda: self.seconds} | options)
        )

    async def _token(self) -> httpx.Response:
        number = len(self.token_requests)
        self.token_asked.set()
        if self.token_gate is not None:
            await self.token_gate.wait()
        body = {"access_token": f"token-{number}"} | self.token_body
        return (self.token_reply or a_reply(200, body)).response()
