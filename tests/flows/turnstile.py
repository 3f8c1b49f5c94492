"""What stands between a service and Vipps: it notes what is asked, and lets some of it not pass."""

from collections.abc import Callable
from dataclasses import dataclass, field

import httpx
from starlette.types import Receive, Scope, Send

_NO = 503


def nothing(_method: str, _path: str) -> bool:
    """Let everything pass."""
    return False


@dataclass
class Turnstile:
    """An ASGI app in front of the sandbox; `is_stopped` says what gets 503 and goes no further."""

    upstream: str = ""
    is_stopped: Callable[[str, str], bool] = nothing
    asked: list[tuple[str, str]] = field(default_factory=list)  # method and path
    # No connection is used twice: none is left open at the end.
    _client: httpx.AsyncClient = field(
        default_factory=lambda: httpx.AsyncClient(
            timeout=30.0, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0)
        )
    )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Note one request, and pass it on with its answer."""
        body, more = b"", True
        while more:
            part = await receive()
            body, more = body + part.get("body", b""), part.get("more_body", False)
        method, path = scope["method"], scope["path"]
        self.asked.append((method, path))
        status, content = _NO, b"{}"
        if not self.is_stopped(method, path):
            left_out = (b"host", b"connection", b"content-length")
            answer = await self._client.request(
                method,
                f"{self.upstream}{path}",
                content=body,
                headers=[(n, v) for n, v in scope["headers"] if n not in left_out],
            )
            status, content = answer.status_code, answer.content
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})
