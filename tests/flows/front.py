"""The public address that Vipps calls: hands each webhook to one of the service's processes.

What it notes is an oracle: every body that a process has acknowledged with 200.
"""

import asyncio
import itertools
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field

import httpx
from starlette.types import Receive, Scope, Send

# A load balancer holds a request while nobody listens; Vipps waits ten seconds.
_HOLD_S = 4.0
_LOOK_S = 0.05
_BROKEN = 502


@dataclass(frozen=True, slots=True)
class Arrived:
    """One webhook as Vipps sent it."""

    path: str
    headers: list[tuple[bytes, bytes]]
    body: bytes


@dataclass(frozen=True, slots=True)
class Passed:
    """One webhook as it went through, with what was answered."""

    body: bytes
    status: int


@dataclass
class Front:
    """An ASGI app; `backends` are URLs and may be changed at any time.

    `trust`: whose certificates are believed, where they speak TLS."""

    backends: Sequence[str] = ()
    trust: ssl.SSLContext | bool = True
    arrived: list[Arrived] = field(default_factory=list)
    passed: list[Passed] = field(default_factory=list)
    _turn: "itertools.count[int]" = field(default_factory=itertools.count)
    _client: httpx.AsyncClient = field(init=False)

    def __post_init__(self) -> None:
        """Use no connection twice: a killed process leaves them half open."""
        once = httpx.Limits(max_keepalive_connections=0)
        self._client = httpx.AsyncClient(
            timeout=9.0, trust_env=False, limits=once, verify=self.trust
        )

    @property
    def acknowledged(self) -> list[bytes]:
        """Return the bodies that were answered with 200, once for each time."""
        return [p.body for p in list(self.passed) if p.status == 200]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on, and its answer back."""
        body, more = b"", True
        while more:
            part = await receive()
            body, more = body + part.get("body", b""), part.get("more_body", False)
        headers = [(n, v) for n, v in scope["headers"] if n not in (b"host", b"connection")]
        webhook = Arrived(scope["path"], headers, body)
        self.arrived.append(webhook)
        status = await self._pass_on(webhook)
        self.passed.append(Passed(body, status))
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def _pass_on(self, webhook: Arrived) -> int:
        try:
            async with asyncio.timeout(_HOLD_S):
                while True:
                    status = await self._try_each(webhook)
                    if status is not None:
                        return status
                    await asyncio.sleep(_LOOK_S)
        except (httpx.HTTPError, TimeoutError):
            return _BROKEN

    async def _try_each(self, webhook: Arrived) -> int | None:
        """Return the answer of the first that listens; None where nobody does.

        One that breaks off may have acted: that is the sender's to repeat, not ours."""
        backends, first = list(self.backends), next(self._turn)
        for place in range(len(backends)):
            url = backends[(first + place) % len(backends)]
            try:
                answer = await self._client.post(
                    url + webhook.path, content=webhook.body, headers=webhook.headers
                )
            except httpx.ConnectError:
                continue
            return answer.status_code
        return None
