"""Prove that Vipps sent a request, over its raw bytes; and sign like Vipps, for the sandbox.

Source: developer.vippsmobilepay.com/docs/APIs/webhooks-api/request-authentication/
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from webhooks.errors import (
    ContentMismatch,
    MalformedHeader,
    MissingHeader,
    SignatureMismatch,
    StaleTimestamp,
)
from webhooks.instants import format_http_date, parse_http_date

# Vipps re-signs each attempt with a new date, so a window is safe also for retries. Vipps names no
# number; its own WooCommerce plugin uses five minutes.
TOLERANCE_S = 300

_SCHEME = b"HMAC-SHA256 "
# The whole header is rebuilt and compared, so a shorter or reordered list of signed headers cannot
# match. Guarded by test_signed_headers_in_any_other_list_are_refused.
_AUTHORIZATION_START = _SCHEME + b"SignedHeaders=x-ms-date;host;x-ms-content-sha256&Signature="
_HASH = "sha256"
_DEFAULT_PORTS = {"https": ":443", "http": ":80"}

# Some web servers strip `Authorization` or put their own in its place; Vipps sends a copy.
AUTHORIZATIONS = (b"authorization", b"x-vipps-authorization")
_READ = frozenset(
    (*AUTHORIZATIONS, b"x-ms-date", b"x-ms-content-sha256", b"content-encoding"),
)


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """Hold what a signature covers: the registered address and the received bytes.

    `path_and_query` and `host` are those of the registered URL (see `authority_and_path`), never of
    the request itself: behind a proxy they differ, and a sender could choose them. `headers` are
    pairs as ASGI gives them. `body` is as received, before any decoding.
    """

    method: str
    path_and_query: str
    host: str
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes


def authority_and_path(url: str) -> tuple[str, str]:
    """Split a registered URL into the host and the path with query that Vipps signs.

    The host is lower case and carries its port unless it is the scheme's own, as `Uri.Authority`
    in C#. Raises: ValueError, where the URL is not an absolute http(s) one.
    """
    parts = urlsplit(url)
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        raise ValueError("not an absolute http or https URL")
    host = parts.netloc.rpartition("@")[2].lower().removesuffix(_DEFAULT_PORTS[parts.scheme])
    query = f"?{parts.query}" if parts.query else ""
    return host, (parts.path or "/") + query


def verify(
    request: SignedRequest,
    secrets: Sequence[str],
    now: datetime,
    *,
    tolerance_s: int = TOLERANCE_S,
) -> int:
    """Check that Vipps sent exactly these bytes; return which secret matched.

    `secrets` are used as UTF-8 text, not base64-decoded, although they look like base64. All of
    them are tried whatever the first gives; the index of the first that matches is returned. `now`
    is aware. Both ends of the tolerance are inside. Raises: VerificationError.
    """
    headers = _read_headers(request.headers)
    authorization = _authorization(headers)
    date = _required(headers, b"x-ms-date")
    claimed_hash = _required(headers, b"x-ms-content-sha256")
    _check_coding(headers)
    _check_date(date, now, tolerance_s)
    actual_hash = content_hash(request.body)
    # The encoded forms are compared: two base64 texts can decode to the same bytes.
    if not hmac.compare_digest(actual_hash, claimed_hash):
        raise ContentMismatch
    text = _string_to_sign(request, date, actual_hash)
    return _matching_secret(text, secrets, authorization)


def sign(
    *,
    method: str,
    path_and_query: str,
    host: str,
    body: bytes,
    secret: str,
    at: datetime,
) -> dict[str, str]:
    """Return the headers with which Vipps would send this body at that instant.

    `Host` is not among them: the HTTP client sets it. Source: as `verify`.
    """
    request = SignedRequest(method, path_and_query, host, (), body)
    date, body_hash = format_http_date(at), content_hash(request.body)
    signed = authorization_for(request, secret.encode(), date=date.encode(), body_hash=body_hash)
    authorization = signed.decode()
    return {
        "X-Ms-Date": date,
        "X-Ms-Content-Sha256": body_hash.decode(),
        "Authorization": authorization,
        "X-Vipps-Authorization": authorization,
    }


def authorization_for(
    request: SignedRequest, key: bytes, *, date: bytes, body_hash: bytes
) -> bytes:
    """Return the header that signs this date and body hash for the request's address."""
    return _expected(_string_to_sign(request, date, body_hash), key)


def _read_headers(pairs: Sequence[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    for name, value in pairs:
        lowered = name.lower()
        if lowered in _READ:
            # Two values leave it open which one a proxy, or the next reader, believes.
            if lowered in found:
                raise MalformedHeader(f"{lowered.decode()} is there more than once")
            found[lowered] = value
    return found


def _authorization(headers: dict[bytes, bytes]) -> bytes:
    names = [name for name in AUTHORIZATIONS if name in headers]
    for name in names:
        if headers[name].startswith(_SCHEME):
            return headers[name]
    if names:
        raise MalformedHeader("authorization is not HMAC-SHA256")
    raise MissingHeader("authorization is absent")


def _required(headers: dict[bytes, bytes], name: bytes) -> bytes:
    value = headers.get(name)
    if value is None:
        raise MissingHeader(f"{name.decode()} is absent")
    return value


def _check_coding(headers: dict[bytes, bytes]) -> None:
    # Vipps signs and sends plain bytes. A coding would mean that some layer rewrote the body, or
    # wants us to unpack it before it is proven.
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise MalformedHeader("content-encoding is not identity")


def _check_date(value: bytes, now: datetime, tolerance_s: int) -> None:
    at = parse_http_date(value)
    if at is None:
        raise MalformedHeader("x-ms-date is not an IMF-fixdate")
    if abs(now - at) > timedelta(seconds=tolerance_s):
        raise StaleTimestamp


def content_hash(body: bytes) -> bytes:
    """Return what `X-Ms-Content-Sha256` must be for this body."""
    return b64encode(hashlib.sha256(body).digest())


def _string_to_sign(request: SignedRequest, date: bytes, content_hash: bytes) -> bytes:
    target = f"{request.method}\n{request.path_and_query}\n".encode()
    return b"%b%b;%b;%b" % (target, date, request.host.encode(), content_hash)


def _expected(text: bytes, key: bytes) -> bytes:
    return _AUTHORIZATION_START + b64encode(hmac.digest(key, text, _HASH))


def _matching_secret(text: bytes, secrets: Sequence[str], authorization: bytes) -> int:
    # Without a secret the same work is done, so that nobody can time which sales units exist.
    matches = []
    for secret in secrets or ("",):
        matches.append(hmac.compare_digest(_expected(text, secret.encode()), authorization))
    if secrets and True in matches:
        return matches.index(True)
    raise SignatureMismatch
