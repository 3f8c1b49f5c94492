"""One attempt at one webhook, with the headers that real ones carry."""

import asyncio
from collections.abc import Callable
from datetime import datetime

import httpx

from service.sandbox.registrations import Registration
from webhooks import vipps

# As much of an answer as is read, so that the connection can be used again; none of it
# is kept.
_ANSWER_BYTES_MAX = 65_536


class Sender:
    """Send signed webhooks over one shared pool of connections."""

    def __init__(
        self, client: httpx.AsyncClient, *, timeout_s: float, real_now: Callable[[], datetime]
    ) -> None:
        self._client = client
        self._timeout_s = timeout_s
        self._real_now = real_now

    async def send(self, registration: Registration, body: bytes) -> bool:
        """Try once, signed with the time of this attempt; True for a 200 in time."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._post(registration, body) == httpx.codes.OK
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError):
            return False

    async def _post(self, registration: Registration, body: bytes) -> int:
        headers = webhook_headers(registration, body, at=self._real_now())
        request = self._client.build_request(
            "POST", registration.url, content=body, headers=headers
        )
        answer = await self._client.send(request, stream=True)
        try:
            size_bytes = 0
            async for chunk in answer.aiter_raw():
                size_bytes += len(chunk)
                if size_bytes > _ANSWER_BYTES_MAX:
                    break
        finally:
            await answer.aclose()
        return answer.status_code


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
        "X-Vipps-Authorization": signed["Authorization"],
        "Webhook-Id": registration.id,
        "User-Agent": "Vipps MobilePay/1.0 Webhooks/1.0",
        "Content-Type": "application/json; charset=utf-8",
        "Accept-Encoding": "gzip",
    }


def webhook_client(connections_max: int) -> httpx.AsyncClient:
    """Return the client for webhooks: no redirects, no proxies from the environment."""
    limits = httpx.Limits(
        max_connections=connections_max, max_keepalive_connections=connections_max
    )
    return httpx.AsyncClient(
        follow_redirects=False, trust_env=False, limits=limits, timeout=httpx.Timeout(None)
    )
