"""Say why a webhook from Vipps could not be proven, for whoever has to mend it; pure.

Nothing here lets a request in. It tries what people get wrong: the address that was registered, a
secret that was decoded or is an old one, a clock, a layer that rewrote the body.
"""

from __future__ import annotations

import hmac
from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from webhooks.errors import (
    ContentMismatch,
    MalformedHeader,
    MissingHeader,
    SignatureMismatch,
    StaleTimestamp,
    VerificationError,
)
from webhooks.instants import parse_http_date
from webhooks.vipps import (
    AUTHORIZATIONS,
    TOLERANCE_S,
    SignedRequest,
    authorization_for,
    content_hash,
    verify,
)

# How many addresses and secrets are tried: their product is what a stranger can make us compute.
TRIED_MAX = 8

# What is known where no secret of ours made the signature, whatever else were otherwise.
_WORDS: Mapping[type[VerificationError], str] = {
    MissingHeader: "header_missing",
    MalformedHeader: "header_malformed",
    StaleTimestamp: "clock",
    ContentMismatch: "body_rewritten",
    SignatureMismatch: "unknown_signature",
}


@dataclass(frozen=True, slots=True)
class Known:
    """What may have gone into the signature, apart from the registered address.

    `active` and `retired` are secrets. `seen` are addresses, (host, path with query), that the
    request came by or that were registered once: strangers choose some of them."""

    active: Sequence[str] = field(repr=False)
    retired: Sequence[str] = field(default=(), repr=False)
    seen: Sequence[tuple[str, str]] = ()


def diagnose(
    request: SignedRequest, known: Known, now: datetime, *, tolerance_s: int = TOLERANCE_S
) -> tuple[str, ...]:
    """Return what would have to be otherwise for the request to be proven; never raise.

    Empty: it is proven as it is. Each text is one of `host=…`, `path=…` (what was signed instead),
    `retired_secret`, `decoded_secret` (base64-decoded, which Vipps does not do), `clock_s=±n` (how
    far its date lies behind ours) and `body_rewritten`; all of that only where a secret of ours
    proves it. Where none does: `header_missing`, `header_malformed`, `clock`, `body_rewritten`
    or `unknown_signature`.
    """
    try:
        verify(request, known.active, now, tolerance_s=tolerance_s)
    except VerificationError as error:
        return _causes(request, known, now, tolerance_s=tolerance_s) or (_WORDS[type(error)],)
    return ()


def _causes(
    request: SignedRequest, known: Known, now: datetime, *, tolerance_s: int
) -> tuple[str, ...]:
    headers = {name.lower(): value for name, value in request.headers}
    try:
        date, body_hash = headers[b"x-ms-date"], headers[b"x-ms-content-sha256"]
    except KeyError:
        return ()
    at = parse_http_date(date)
    if at is None:
        return ()
    offered = [headers[name] for name in AUTHORIZATIONS if name in headers]
    for tried, word, key in _combinations(request, known):
        expected = authorization_for(tried, key, date=date, body_hash=body_hash)
        if True in [hmac.compare_digest(expected, value) for value in offered]:
            causes = [*_differences(request, tried), *([word] if word else [])]
            if abs(now - at) > timedelta(seconds=tolerance_s):
                causes.append(f"clock_s={round((now - at).total_seconds()):+d}")
            if content_hash(request.body) != body_hash:
                causes.append("body_rewritten")
            return tuple(causes)
    return ()


def _combinations(
    request: SignedRequest, known: Known
) -> Iterator[tuple[SignedRequest, str, bytes]]:
    """Yield what to try, with the least difference first."""
    keys = list(_keys(known))
    for tried in _addresses(request, known.seen[:TRIED_MAX]):
        for word, key in keys:
            yield tried, word, key


def _addresses(request: SignedRequest, seen: Sequence[tuple[str, str]]) -> list[SignedRequest]:
    hosts = [request.host, *(host for host, _ in seen)]
    paths = [request.path_and_query, *(path for _, path in seen)]
    paths += [_with_other_slash(path) for path in paths]
    tried = [
        replace(request, host=host, path_and_query=path)
        for path in dict.fromkeys(paths)
        for host in dict.fromkeys(hosts)
    ]
    return sorted(tried, key=lambda one: len(_differences(request, one)))


def _with_other_slash(path_and_query: str) -> str:
    """Return the path with a slash at its end where there was none, else without."""
    path, mark, query = path_and_query.partition("?")
    return (path[:-1] if path.endswith("/") else f"{path}/") + mark + query


def _differences(request: SignedRequest, tried: SignedRequest) -> list[str]:
    host = [f"host={tried.host}"] if tried.host != request.host else []
    is_other_path = tried.path_and_query != request.path_and_query
    return host + ([f"path={tried.path_and_query}"] if is_other_path else [])


def _keys(known: Known) -> Iterator[tuple[str, bytes]]:
    """Yield each key to try, with the word for what is wrong with it."""
    active, retired = known.active[:TRIED_MAX], known.retired[:TRIED_MAX]
    yield from (("", secret.encode()) for secret in active)
    yield from (("retired_secret", secret.encode()) for secret in retired)
    for secret in (*active, *retired):
        try:
            yield "decoded_secret", b64decode(secret, validate=True)
        except ValueError:
            continue
