"""Sign what we send as Standard Webhooks 1.0.0 says, and check it as a receiver would.

Source: github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md
"""

from __future__ import annotations

import hmac
import re
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from webhooks.errors import MalformedHeader, MissingHeader, SignatureMismatch, StaleTimestamp

# The specification leaves the number open; its libraries use five minutes.
TOLERANCE_S = 300
# "At least 24 bytes (192 bits, 512 maximum)"; 64 bytes are also one block of the hash.
SECRET_BYTES_MIN, SECRET_BYTES_MAX = 24, 64

_SECRET, _PRIVATE, _PUBLIC = "whsec_", "whsk_", "whpk_"
# Each signature starts with how it was made: by a shared secret, or by a key of two halves.
_SYMMETRIC, _ASYMMETRIC = "v1,", "v1a,"
_HASH = "sha256"
_KEY_BYTES = 32
# The id and the time are joined to the body with full stops. An id with one could move bytes from
# one part to another without changing the signature.
_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_TIMESTAMP = re.compile(r"[0-9]{1,11}")


class SigningKey(Protocol):
    """What signs with ed25519, such as an `Ed25519PrivateKey`."""

    def sign(self, data: bytes, /) -> bytes:
        """Return the signature over these bytes; for the same bytes it is always the same."""


def new_secret(random_bytes: bytes) -> str:
    """Return a secret to share with one subscriber, `whsec_…`, made of these 24 to 64 bytes."""
    return _SECRET + b64encode(_of_allowed_length(random_bytes)).decode()


def private_key_text(key: Ed25519PrivateKey) -> str:
    """Write a signing key as `whsk_…`: its seed and its public key, 64 bytes, as Svix does."""
    seed = key.private_bytes_raw() + key.public_key().public_bytes_raw()
    return _PRIVATE + b64encode(seed).decode()


def private_key_from_text(text: str) -> Ed25519PrivateKey:
    """Read a `whsk_…` key, with or without its public half.

    Raises: ValueError, also where the two halves do not belong together.
    """
    raw = _decode(text, _PRIVATE)
    key = Ed25519PrivateKey.from_private_bytes(raw[:_KEY_BYTES])
    if raw[_KEY_BYTES:] not in (b"", key.public_key().public_bytes_raw()):
        raise ValueError("the public half of the key is another key's")
    return key


def public_key_text(key: Ed25519PrivateKey) -> str:
    """Write the public half of a signing key as `whpk_…`, 32 bytes, for subscribers."""
    return _PUBLIC + b64encode(key.public_key().public_bytes_raw()).decode()


def public_key_from_text(text: str) -> Ed25519PublicKey:
    """Read a `whpk_…` key. Raises: ValueError."""
    return Ed25519PublicKey.from_public_bytes(_decode(text, _PUBLIC))


def sign(
    *,
    webhook_id: str,
    at: datetime,
    body: bytes,
    secrets: Sequence[str],
    signing_keys: Sequence[SigningKey] = (),
) -> dict[str, str]:
    """Return the three headers of one attempt: id, time and every signature.

    `webhook_id` is the event's id, the same on every attempt; `at` is this attempt's, cut to whole
    seconds. Each secret gives one `v1`, then each key one `v1a`, in the order given, so that a
    subscriber may rotate at leisure. Raises: ValueError, where nothing would be signed, a secret
    is not a `whsec_…` or the id could be split.
    """
    if _ID.fullmatch(webhook_id) is None:
        raise ValueError("a webhook id is 1 to 128 of A-Z, a-z, 0-9, _ and -")
    if not secrets and not signing_keys:
        raise ValueError("a webhook without a signature must not be sent")
    timestamp = str(int(at.timestamp()))
    text = _signed_text(webhook_id, timestamp, body)
    signatures = [_v1(text, _secret_bytes(secret)) for secret in secrets]
    signatures += [_ASYMMETRIC + b64encode(key.sign(text)).decode() for key in signing_keys]
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(signatures),
    }


def verify(
    headers: Mapping[str, str],
    body: bytes,
    *,
    keys: Sequence[str],
    now: datetime,
    tolerance_s: int = TOLERANCE_S,
) -> str:
    """Check as a receiver that one of our keys signed these bytes; return the webhook's id.

    `keys` are `whsec_…` secrets and `whpk_…` public keys; one match is enough. `now` is aware.
    Raises: VerificationError, whatever the headers hold; ValueError, where a key is not one.
    """
    lowered = {name.lower(): value for name, value in headers.items()}
    webhook_id, timestamp, signatures = (
        _required(lowered, name)
        for name in ("webhook-id", "webhook-timestamp", "webhook-signature")
    )
    if _ID.fullmatch(webhook_id) is None:
        raise MalformedHeader("webhook-id has another form than ours")
    _check_timestamp(timestamp, now, tolerance_s)
    text = _signed_text(webhook_id, timestamp, body)
    offered = signatures.split(" ")
    if True not in [_matches(key, text, offered) for key in keys]:
        raise SignatureMismatch
    return webhook_id


def _required(headers: Mapping[str, str], name: str) -> str:
    if name not in headers:
        raise MissingHeader(f"{name} is absent")
    return headers[name]


def _check_timestamp(value: str, now: datetime, tolerance_s: int) -> None:
    if _TIMESTAMP.fullmatch(value) is None:
        raise MalformedHeader("webhook-timestamp is not a number of seconds")
    if abs(now.timestamp() - int(value)) > tolerance_s:
        raise StaleTimestamp


def _matches(key: str, text: bytes, offered: Sequence[str]) -> bool:
    if key.startswith(_PUBLIC):
        public = public_key_from_text(key)
        return True in [_made_by(public, text, signature) for signature in offered]
    expected = _v1(text, _secret_bytes(key)).encode()
    return True in [
        hmac.compare_digest(expected, signature.encode(errors="surrogatepass"))
        for signature in offered
    ]


def _made_by(public: Ed25519PublicKey, text: bytes, signature: str) -> bool:
    if not signature.startswith(_ASYMMETRIC):
        return False
    try:
        public.verify(b64decode(signature.removeprefix(_ASYMMETRIC), validate=True), text)
    except (ValueError, InvalidSignature):
        return False
    return True


def _signed_text(webhook_id: str, timestamp: str, body: bytes) -> bytes:
    return f"{webhook_id}.{timestamp}.".encode() + body


def _v1(text: bytes, key: bytes) -> str:
    return _SYMMETRIC + b64encode(hmac.digest(key, text, _HASH)).decode()


def _secret_bytes(secret: str) -> bytes:
    return _of_allowed_length(_decode(secret, _SECRET))


def _of_allowed_length(raw: bytes) -> bytes:
    if not SECRET_BYTES_MIN <= len(raw) <= SECRET_BYTES_MAX:
        raise ValueError(f"a secret has {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} bytes")
    return raw


def _decode(text: str, prefix: str) -> bytes:
    if not text.startswith(prefix):
        # The text itself is a secret and stays out of the error.
        raise ValueError(f"a key of this kind starts with {prefix}")
    try:
        return b64decode(text.removeprefix(prefix), validate=True)
    except ValueError:
        raise ValueError(f"what follows {prefix} is not base64") from None
