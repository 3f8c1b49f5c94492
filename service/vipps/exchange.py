"""One HTTP request to Vipps and its answer, within bounds."""

import os
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from importlib.metadata import version

import aiohttp
import httpx
import orjson
from httpx_aiohttp import AiohttpTransport

from service.clock import real_now
from service.vipps.answer import ANSWER_BYTES_MAX, Answer, no_answer, parse_answer
from webhooks.retry import parse_retry_after

# Vipps usually answers within two seconds. Longer than this, and a command's lease and a graceful
# stop (10 s too) would wait on it; the outcome is then unknown and settled by the next try.
TIMEOUT_S = 10.0
# All of one process's calls: the worker's, with room for reads by people.
CONNECTIONS_MAX = 80
# Idle connections that a gateway may have closed meanwhile are not worth keeping.
_KEEPALIVE_S = 30.0

_SYSTEM = "Betalbar"
_VERSION = version("betalbar")[:30]

# Asked for by Vipps on every call, each at most 30 characters.
# Source: developer.vippsmobilepay.com/docs/knowledge-base/http-headers/
SYSTEM_HEADERS: Mapping[str, str] = {
    "Vipps-System-Name": _SYSTEM,
    "Vipps-System-Version": _VERSION,
    "Vipps-System-Plugin-Name": _SYSTEM,
    "Vipps-System-Plugin-Version": _VERSION,
}


def new_http(transport: httpx.AsyncBaseTransport | None = None) -> httpx.AsyncClient:
    """Return a client fit for Vipps: bounded pool, no redirects, no proxies, no cookies.

    `transport` replaces the network, for an application in this process. Close it yourself."""
    return httpx.AsyncClient(
        transport=transport or _network(),
        headers={"User-Agent": f"{_SYSTEM}/{_VERSION}"},
        timeout=TIMEOUT_S,
        follow_redirects=False,
        # Neither a proxy nor a .netrc from the environment may come between us and Vipps.
        trust_env=False,
        # A cookie set for one sales unit would be sent with another's calls.
        cookies=CookieJar(policy=DefaultCookiePolicy(allowed_domains=())),
    )


def _network() -> httpx.AsyncBaseTransport:
    """Return the way out by aiohttp: httpx's own pool looks at every connection for each request.

    With sixty calls under way that costs tens of milliseconds a call (docs/performance.md)."""
    tls = _tls()

    def session() -> aiohttp.ClientSession:  # belongs to the running loop
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                ssl=tls, limit=CONNECTIONS_MAX, keepalive_timeout=_KEEPALIVE_S
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
        )

    return _Network(verify=tls, trust_env=False, client=session)


@cache
def _tls() -> ssl.SSLContext:
    # One for all clients: making it reads every certificate of the machine.
    return httpx.create_ssl_context(trust_env=False)


class _Network(AiohttpTransport):
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        # What an address says of a user stands in a header by now; aiohttp refuses both.
        request.url = request.url.copy_with(userinfo=b"")
        return await super().handle_async_request(request)


def reason_of(error: httpx.HTTPError) -> str:
    """Return why a call got no answer, in the system's own words where it has some."""
    cause = error.__cause__
    if isinstance(cause, OSError) and cause.errno:
        return os.strerror(cause.errno)
    return type(error).__name__


@dataclass(frozen=True, slots=True)
class Exchange:
    """Sends single requests; knows nothing of tokens, keys or retries."""

    base_url: str
    http: httpx.AsyncClient
    now: Callable[[], datetime] = real_now
    monotonic: Callable[[], float] = time.monotonic

    async def send(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        body: Mapping[str, object] | None = None,
    ) -> Answer:
        """Return the answer; a broken or oversized one is no answer. Raises nothing of the network.

        The total time is the caller's to bound: httpx bounds only each single read."""
        started = self.monotonic()
        # Plain bytes only: a compressed answer could unpack to any size.
        sent = {"Accept-Encoding": "identity", **headers}
        content = None if body is None else orjson.dumps(body)
        if content is not None:
            sent["Content-Type"] = "application/json"
        try:
            async with self.http.stream(
                method, self.base_url + path, headers=sent, content=content
            ) as response:
                raw = await _read_bounded(response)
        except (httpx.HTTPError, aiohttp.ClientError):
            return no_answer(self.elapsed_ms(started))
        return parse_answer(
            response.status_code,
            raw,
            retry_after_s=parse_retry_after(response.headers.get("Retry-After", ""), self.now()),
            latency_ms=self.elapsed_ms(started),
        )

    def elapsed_ms(self, started: float) -> int:
        """Return the whole milliseconds since an instant of `monotonic`."""
        return int((self.monotonic() - started) * 1000)


async def _read_bounded(response: httpx.Response) -> bytes:
    """Return the body, or just more than the limit of one that is too long."""
    raw = bytearray()
    async for chunk in response.aiter_raw():
        raw += chunk
        if len(raw) > ANSWER_BYTES_MAX:
            break
    return bytes(raw)
