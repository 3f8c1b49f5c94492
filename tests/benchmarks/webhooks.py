"""Webhooks as Vipps sends them, signed before they are sent: bodies for a load generator.

All of a file's requests are equally long, so that whoever reads it needs no index.
"""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import orjson

from webhooks.vipps import sign

MSN = "123456"
AMOUNT_MINOR = 125_000
PATH = f"/webhooks/vipps/{MSN}"


@dataclass(frozen=True, slots=True)
class Address:
    """Where webhooks go, and what signs them."""

    host: str  # with its port, as it is signed
    secret: str


def a_body(name: str, reference: str, psp_reference: str, at: datetime) -> bytes:
    """Return a webhook's body: some 400 bytes, members in the order of Vipps's examples."""
    return orjson.dumps(
        {
            "msn": MSN,
            "reference": reference,
            "pspReference": psp_reference,
            "name": name,
            "amount": {"currency": "NOK", "value": AMOUNT_MINOR},
            "timestamp": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "idempotencyKey": f"49ca711a-acee-4d01-993b-{psp_reference[-12:]}",
            "success": True,
        }
    )


def a_request(body: bytes, to: Address, at: datetime) -> bytes:
    """Return the HTTP request that carries the body, with the headers that Vipps sends."""
    signed = sign(
        method="POST", path_and_query=PATH, host=to.host, body=body, secret=to.secret, at=at
    )
    lines = [
        f"POST {PATH} HTTP/1.1",
        f"Host: {to.host}",
        "User-Agent: Vipps/MobilePay Webhooks",
        "Content-Type: application/json; charset=utf-8",
        f"Content-Length: {len(body)}",
        *(f"{name}: {value}" for name, value in signed.items()),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def write_requests(
    path: Path, references: Iterable[str], to: Address, *, at: datetime, name: str = "AUTHORIZED"
) -> int:
    """Write a signed request about each payment; return the length that each of them has."""
    sizes = set()
    with path.open("wb") as file:
        for reference in references:
            body = a_body(name, reference, secrets.token_hex(16), at)
            sizes.add(file.write(a_request(body, to, at)))
    if len(sizes) != 1:
        raise ValueError(f"requests of {len(sizes)} lengths")
    return sizes.pop()
