"""What a merchant's developer can ask of the service itself: the machine, the public keys."""

import hashlib

from service.api.answers import Answer, json_answer
from service.api.calls import Call
from service.shapes.discovery import SigningKey, SigningKeys
from statemachine import as_json
from webhooks.standard import public_key_text


async def machine(call: Call) -> Answer:
    """Answer `GET /v1/machine`: the table that invoices live by."""
    return json_answer(as_json())


async def signing_keys(call: Call) -> Answer:
    """Answer `GET /v1/signing-keys`: what `v1a` signatures are verified with."""
    public = public_key_text(call.context.vault.signing_key)
    # Named by its content, so that every process names it alike.
    key_id = hashlib.sha256(public.encode()).hexdigest()[:16]
    key: SigningKey = {"id": key_id, "publicKey": public, "algorithm": "ed25519"}
    shown: SigningKeys = {"keys": [key]}
    return json_answer(shown)
