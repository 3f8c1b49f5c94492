"""Whole, valid examples, each of which a test bends in one place."""

import json
from base64 import b64encode
from dataclasses import replace
from datetime import UTC, datetime

from webhooks import vipps
from webhooks.vipps import SignedRequest

NOW = datetime(2026, 11, 22, 10, 0, 0, tzinfo=UTC)
# 88 characters that look like base64, as Vipps's do.
SECRET = b64encode(bytes(range(64))).decode()
OTHER_SECRET = "B" * 86 + "=="
HOST = "pay.example"
PATH = "/webhooks/vipps/123456"
AUTHORIZATION, COPY = b"authorization", b"x-vipps-authorization"
DATE, HASH = b"x-ms-date", b"x-ms-content-sha256"


def an_event() -> dict[str, object]:
    """Return the members of a webhook that says the customer approved."""
    return {
        "msn": "123456",
        "reference": "acme-2026-000123",
        "pspReference": "3343121302",
        "name": "AUTHORIZED",
        "amount": {"currency": "NOK", "value": 49900},
        "timestamp": "2026-11-22T09:59:58.5333258Z",
        "success": True,
    }


def an_event_body(**changes: object) -> bytes:
    """Return the bytes of `an_event` as Vipps writes them; a change of `...` leaves one out."""
    members = an_event() | changes
    kept = {name: value for name, value in members.items() if value is not ...}
    return json.dumps(kept, separators=(",", ":"), ensure_ascii=False).encode()


def a_signed_request(body: bytes | None = None, *, secret: str = SECRET) -> SignedRequest:
    """Return a request as an ASGI server hands it over, signed at `NOW`."""
    sent = an_event_body() if body is None else body
    headers = vipps.sign(
        method="POST", path_and_query=PATH, host=HOST, body=sent, secret=secret, at=NOW
    )
    pairs = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    others = [(b"host", b"internal:8080"), (b"content-type", b"application/json; charset=utf-8")]
    return SignedRequest("POST", PATH, HOST, (*others, *pairs), sent)


def with_header(request: SignedRequest, name: bytes, value: bytes | None) -> SignedRequest:
    """Return the request with one header changed everywhere it stands; None leaves it out."""
    kept = [(n, v) for n, v in request.headers if n != name]
    return replace(request, headers=kept if value is None else [*kept, (name, value)])


def with_authorization(request: SignedRequest, value: bytes | None) -> SignedRequest:
    """Return the request with both headers that carry the signature changed."""
    return with_header(with_header(request, AUTHORIZATION, value), COPY, value)


def header(request: SignedRequest, name: bytes) -> bytes:
    """Return the one value of a header."""
    (value,) = [v for n, v in request.headers if n == name]
    return value
