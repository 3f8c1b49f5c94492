"""From sealed columns to one signed POST."""

from dataclasses import dataclass, field
from datetime import datetime

import orjson

from service.outbox.egress import Egress, Reply
from service.vault import Vault
from webhooks import standard


@dataclass(frozen=True, slots=True)
class Letter:
    """What goes to one subscription: the address and the secrets as stored, the body open."""

    subscription_id: str
    sealed_url: bytes = field(repr=False)
    sealed_secrets: bytes = field(repr=False)
    event_id: str
    body: bytes = field(repr=False)


async def post_signed(egress: Egress, vault: Vault, letter: Letter, *, at: datetime) -> Reply:
    """Sign a body for this attempt and send it; `v1` for each living secret, then `v1a`.

    Raises: SealBroken."""
    url = vault.open(letter.sealed_url, place=url_place(letter.subscription_id))
    headers = standard.sign(
        webhook_id=letter.event_id,
        at=at,
        body=letter.body,
        secrets=_open_secrets(vault, letter, at),
        signing_keys=(vault.signing_key,),
    )
    headers["content-type"] = "application/json"
    return await egress.post(url.decode(), headers=headers, body=letter.body)


def seal_secret(vault: Vault, subscription_id: str, secret: str) -> bytes:
    """Return the sealed list that holds one secret, without an end."""
    listed = orjson.dumps([{"secret": secret, "until": None}])
    return vault.seal(listed, place=_secrets_place(subscription_id))


def url_place(subscription_id: str) -> str:
    """Return where a subscription's URL is sealed for."""
    return f"subscription:{subscription_id}:url"


def _open_secrets(vault: Vault, letter: Letter, at: datetime) -> list[str]:
    listed = vault.open(letter.sealed_secrets, place=_secrets_place(letter.subscription_id))
    return [
        entry["secret"]
        for entry in orjson.loads(listed)
        if entry["until"] is None or datetime.fromisoformat(entry["until"]) > at
    ]


def _secrets_place(subscription_id: str) -> str:
    return f"subscription:{subscription_id}:secrets"
