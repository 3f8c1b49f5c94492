"""One attempt at one webhook, with the headers that real ones carry."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache

import aiohttp
from yarl import URL

from service.sandbox.registrations import Registration
from webhooks import vipps

# As much of an answer as is read, so that the connection can be used again; none of it
# is kept.
_ANSWER_BYTES_MAX = 65_536

# Shorter than servers commonly keep an idle connection, so that no attempt fails because
# the other side closed it at that very moment.
_KEEPALIVE_S = 2.0

_OK = 200


class Sender:
    """Send signed webhooks over connections that are kept; use it inside its loop only."""

    def __init__(self, *, timeout_s: float, real_now: Callable[[], datetime]) -> None:
        self._timeout_s = timeout_s
        self._real_now = real_now
        # Neither redirects, proxies nor cookies: what is signed goes where it was registered,
        # and how many connections there are is bounded by how many attempts are in flight.
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEPALIVE_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False,
            skip_auto_headers=("Accept",),
        )

    async def send(self, registration: Registration, body: bytes) -> bool:
        """Try once, signed with the time of this attempt; True for a 200 in time."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._post(registration, body) == _OK
        except (aiohttp.ClientError, OSError, ValueError):
            return False

    async def aclose(self) -> None:
        """Close all connections; nothing may be in flight any more."""
        await self._session.close()

    async def _post(self, registration: Registration, body: bytes) -> int:
        headers = webhook_headers(registration, body, at=self._real_now())
        # The signature covers the address as it was registered, so it is sent unchanged.
        url = _url(registration.url)
        async with self._session.post(
            url, data=body, headers=headers, allow_redirects=False
        ) as answer:
            size_bytes = 0
            async for chunk in answer.content.iter_any():
                size_bytes += len(chunk)
                if size_bytes > _ANSWER_BYTES_MAX:
                    answer.close()
                    break
            return answer.status


@lru_cache
def _url(registered: str) -> URL:
    return URL(registered, encoded=True)


def webhook_headers(registration: Registration, body: bytes, *, at: datetime) -> dict[str, str]:
    """Return the headers of one attempt.

    `X-Vipps-Authorization`, `Webhook-Id` and the last three are not documented, but were
    seen on real deliveries; `Webhook-Id` is the registration's id, never the event's.
    """
    host, path_and_query = vipps.authority_and_path(registration.url)
    signed = vipps.sign(
        method="POST",
        path_and_query=path_and_query,
        host=host,
        body=body,
        secret=registration.secret,
        at=at,
    )
    return signed | {
        "Host": host,
        "Webhook-Id": registration.id,
        "User-Agent": "Vipps MobilePay/1.0 Webhooks/1.0",
        "Content-Type": "application/json; charset=utf-8",
        "Accept-Encoding": "gzip",
    }
