"""What a merchant's developer can ask of the service itself: the machine, the public keys."""

import hashlib

from service.api.answers import Answer, json_answer
from service.api.calls import Call
from service.api.query import Query
from statemachine import as_json
from webhooks.standard import public_key_text


async def machine(call: Call) -> Answer:
    """Answer `GET /v1/machine`: the table that invoices live by."""
    Query(call.request)
    return json_answer(as_json())


async def signing_keys(call: Call) -> Answer:
    """Answer `GET /v1/signing-keys`: what `v1a` signatures are verified with."""
    Query(call.request)
    public = public_key_text(call.context.vault.signing_key)
    # Named by its content, so that every process names it alike.
    key_id = hashlib.sha256(public.encode()).hexdigest()[:16]
    key = {"id": key_id, "publicKey": public, "algorithm": "ed25519"}
    return json_answer({"keys": [key]})
