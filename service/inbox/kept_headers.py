"""The headers of a webhook that are kept with it, as evidence of how it was proven."""

from collections.abc import Sequence

import orjson

# What the signature covers and says, what names the registration, and who sent it. No other header
# is kept: a proxy's may name people, or hold its own credentials.
_KEPT = frozenset(
    (
        b"authorization",
        b"content-type",
        b"host",
        b"user-agent",
        b"webhook-id",
        b"x-ms-content-sha256",
        b"x-ms-date",
    )
)
_KEPT_PREFIX = b"x-vipps-"
_AUTHORIZATIONS = (b"authorization", b"x-vipps-authorization")
# Vipps's own; what a proxy put in its place would be somebody's password.
_SCHEME = b"HMAC-SHA256 "

# Vipps sends eight, the longest of 130 characters.
_HEADERS_MAX = 32
_VALUE_MAX = 1000


def kept_headers(headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Return the kept headers as JSON, `[[name, value], …]` in their order, names in lower case."""
    kept = [
        [name.decode("ascii"), value[:_VALUE_MAX].decode("latin-1")]
        for name, value in ((name.lower(), value) for name, value in headers)
        if _is_kept(name, value)
    ]
    return orjson.dumps(kept[:_HEADERS_MAX])


def _is_kept(name: bytes, value: bytes) -> bool:
    if name in _AUTHORIZATIONS:
        return value.startswith(_SCHEME)
    return name in _KEPT or (name.startswith(_KEPT_PREFIX) and name.isascii())
