"""Vipps's signature, written from its documentation alone: it shares no line with our code.

Source: developer.vippsmobilepay.com/docs/APIs/webhooks-api/request-authentication/
"""

import base64
import hashlib
import hmac
from dataclasses import dataclass, replace
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Sent:
    """A webhook as it goes over the wire: all that its signature covers, and the signature."""

    method: str
    path_and_query: str
    host: str
    date: bytes
    content_hash: bytes
    authorization: bytes
    body: bytes

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """Return the headers as Vipps sends them."""
        return [
            (b"x-ms-date", self.date),
            (b"x-ms-content-sha256", self.content_hash),
            (b"authorization", self.authorization),
            (b"x-vipps-authorization", self.authorization),
        ]


def signed(body: bytes, *, secret: str, at: datetime, url: tuple[str, str]) -> Sent:
    """Return a webhook that Vipps would send to the host and path of `url` at that instant."""
    host, path = url
    # Written out by hand, as the locale must not matter.
    days = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
    months = "JanFebMarAprMayJunJulAugSepOctNovDec"
    date = (
        f"{days[at.weekday()]}, {at.day:02} {months[at.month * 3 - 3 : at.month * 3]} {at.year:04}"
        f" {at.hour:02}:{at.minute:02}:{at.second:02} GMT"
    )
    content_hash = base64.b64encode(hashlib.sha256(body).digest())
    unsigned = Sent("POST", path, host, date.encode(), content_hash, b"", body)
    return replace(unsigned, authorization=authorization(unsigned, secret))


def authorization(sent: Sent, secret: str) -> bytes:
    """Return the header that would prove the rest of what is sent."""
    text = f"{sent.method}\n{sent.path_and_query}\n".encode()
    text += sent.date + b";" + sent.host.encode() + b";" + sent.content_hash
    signature = base64.b64encode(hmac.new(secret.encode(), text, hashlib.sha256).digest())
    return b"HMAC-SHA256 SignedHeaders=x-ms-date;host;x-ms-content-sha256&Signature=" + signature
