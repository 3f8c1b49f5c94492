"""One attempt at one webhook, with the headers that real ones carry."""

from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import urlsplit

from service.sandbox.connections import Connections, Server
from service.sandbox.registrations import Registration
from webhooks import vipps

_OK = 200
_PORTS = {"https": 443, "http": 80}


class Sender:
    """Send signed webhooks over connections that are kept; use it inside its loop only."""

    def __init__(self, *, timeout_s: float, real_now: Callable[[], datetime]) -> None:
        self._timeout_s = timeout_s
        self._real_now = real_now
        self._connections = Connections()

    async def send(self, registration: Registration, body: bytes) -> bool:
        """Try once, signed with the time of this attempt; True for a 200 in time."""
        address = _address(registration.url)
        request = _request(registration, address, body, at=self._real_now())
        try:
            status = await self._connections.exchange(
                address.server, request, timeout_s=self._timeout_s
            )
        except (OSError, ValueError):
            return False
        return status == _OK

    def close(self) -> None:
        """Close all connections; nothing may be in flight any more."""
        self._connections.close()


class _Address(NamedTuple):
    """A registered URL, taken apart: neither redirects nor proxies lead elsewhere."""

    server: Server
    host: str
    path_and_query: str


@lru_cache
def _address(registered: str) -> _Address:
    parts = urlsplit(registered)
    server = Server(
        parts.hostname or "", parts.port or _PORTS[parts.scheme], parts.scheme == "https"
    )
    return _Address(server, *vipps.authority_and_path(registered))


def _request(registration: Registration, address: _Address, body: bytes, *, at: datetime) -> bytes:
    # `X-Vipps-Authorization`, `Webhook-Id` and what stands between it and the length are not
    # documented, but were seen on real deliveries; `Webhook-Id` is the registration's id,
    # never the event's.
    signed = vipps.sign(
        method="POST",
        path_and_query=address.path_and_query,
        host=address.host,
        body=body,
        secret=registration.secret,
        at=at,
    )
    # The signature covers the address as it was registered, so it is sent unchanged.
    head = (
        f"POST {address.path_and_query} HTTP/1.1\r\n"
        f"Host: {address.host}\r\n"
        f"X-Ms-Date: {signed['X-Ms-Date']}\r\n"
        f"X-Ms-Content-Sha256: {signed['X-Ms-Content-Sha256']}\r\n"
        f"Authorization: {signed['Authorization']}\r\n"
        f"X-Vipps-Authorization: {signed['X-Vipps-Authorization']}\r\n"
        f"Webhook-Id: {registration.id}\r\n"
        "User-Agent: Vipps MobilePay/1.0 Webhooks/1.0\r\n"
        "Content-Type: application/json; charset=utf-8\r\n"
        "Accept-Encoding: gzip\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
