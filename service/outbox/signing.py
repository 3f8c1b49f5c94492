"""From sealed columns to one signed POST; and the secrets that sign."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from service.errors import Conflict
from service.outbox.destinations import PLACES_MAX
from service.outbox.egress import Egress, Reply
from service.vault import Vault
from webhooks import standard

# Each signs every delivery; nobody who rotates in earnest has more of them alive.
SECRETS_MAX = 5
# Subscriptions whose address and secrets stay open in memory while they are told things.
_KEPT_OPEN_MAX = 1_000


@dataclass(frozen=True, slots=True)
class Letter:
    """What goes to one subscription: the address and the secrets as stored, the body open."""

    subscription_id: str
    sealed_url: bytes = field(repr=False)
    sealed_secrets: bytes = field(repr=False)
    event_id: str
    body: bytes = field(repr=False)


async def post_signed(
    egress: Egress,
    vault: Vault,
    letter: Letter,
    *,
    at: datetime,
    places_max: int = PLACES_MAX,
) -> Reply:
    """Sign a body for this attempt and send it; `v1` for each living secret, then `v1a`.

    `places_max` is as for `Egress.post`. Raises: SealBroken."""
    url = _open_url(vault, letter.subscription_id, letter.sealed_url)
    headers = standard.sign(
        webhook_id=letter.event_id,
        at=at,
        body=letter.body,
        secrets=_open_secrets(vault, letter, at),
        signing_keys=(_Remembering(vault.signing_key),),
    )
    headers["content-type"] = "application/json"
    return await egress.post(url, headers=headers, body=letter.body, places_max=places_max)


class _Remembering:
    """Our key, which signs the same bytes once: one event to many within a second.

    An ed25519 signature costs half of what the request does, and a timestamp has whole seconds."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key

    def sign(self, data: bytes, /) -> bytes:
        return _signature(self._key, data)


@lru_cache(maxsize=256)
def _signature(key: Ed25519PrivateKey, data: bytes) -> bytes:
    return key.sign(data)


@lru_cache(maxsize=_KEPT_OPEN_MAX)
def _open_url(vault: Vault, subscription_id: str, sealed: bytes) -> str:
    return vault.open(sealed, place=url_place(subscription_id)).decode()


@lru_cache(maxsize=_KEPT_OPEN_MAX)
def _open_list(vault: Vault, subscription_id: str, sealed: bytes) -> Any:
    return orjson.loads(vault.open(sealed, place=_secrets_place(subscription_id)))


def seal_secret(vault: Vault, subscription_id: str, secret: str) -> bytes:
    """Return the sealed list that holds one secret, without an end."""
    return _seal_all(vault, subscription_id, [{"secret": secret, "until": None}])


def add_secret(
    vault: Vault, subscription_id: str, sealed: bytes, secret: str, *, overlap_s: int, at: datetime
) -> bytes:
    """Return the sealed list with one more secret, first; the others end after the overlap.

    Those that were to end sooner still do. Raises: Conflict, SealBroken."""
    until = at + timedelta(seconds=overlap_s)
    kept = [
        {"secret": old["secret"], "until": min(_end(old) or until, until).isoformat()}
        for old in _living(vault, subscription_id, sealed, at)
        if overlap_s
    ]
    if len(kept) >= SECRETS_MAX:
        detail = (
            f"{SECRETS_MAX} secrets sign already; wait for one to end, or rotate without overlap"
        )
        raise Conflict("too_many_secrets", detail)
    return _seal_all(vault, subscription_id, [{"secret": secret, "until": None}, *kept])


def url_place(subscription_id: str) -> str:
    """Return where a subscription's URL is sealed for."""
    return f"subscription:{subscription_id}:url"


def _open_secrets(vault: Vault, letter: Letter, at: datetime) -> list[str]:
    living = _living(vault, letter.subscription_id, letter.sealed_secrets, at)
    return [entry["secret"] for entry in living]


def _living(vault: Vault, subscription_id: str, sealed: bytes, at: datetime) -> list[Any]:
    listed = _open_list(vault, subscription_id, bytes(sealed))
    return [entry for entry in listed if (end := _end(entry)) is None or end > at]


def _end(entry: dict[str, Any]) -> datetime | None:
    return None if entry["until"] is None else datetime.fromisoformat(entry["until"])


def _seal_all(vault: Vault, subscription_id: str, entries: list[Any]) -> bytes:
    return vault.seal(orjson.dumps(entries), place=_secrets_place(subscription_id))


def _secrets_place(subscription_id: str) -> str:
    return f"subscription:{subscription_id}:secrets"
