"""Identifiers: repeatable from the seed, except where guessing one would open a door."""

import base64
import hashlib
import random
import secrets
import uuid

# 64 random bytes give the 88 characters that real webhook secrets have.
WEBHOOK_SECRET_BYTES = 64


def derived_uuid(*parts: object) -> str:
    """Return the UUID that always belongs to these parts."""
    # As `str(uuid.UUID(bytes=…, version=4))`, without the detour by way of a number: every
    # event of every payment has one.
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode()).hexdigest()
    variant = "89ab"[int(digest[16], 16) & 3]
    return f"{digest[:8]}-{digest[8:12]}-4{digest[13:16]}-{variant}{digest[17:20]}-{digest[20:32]}"


def webhook_secret() -> str:
    """Return a fresh signing secret, 88 characters that look like base64."""
    return base64.b64encode(secrets.token_bytes(WEBHOOK_SECRET_BYTES)).decode()


def redirect_token() -> str:
    """Return a fresh token that only the holder of the payment's link knows."""
    return secrets.token_urlsafe(24)


class Ids:
    """Draw identifiers that differ between starts but repeat for one seed and start."""

    def __init__(self, seed: int, start: int) -> None:
        # S311 is about secrets; these identifiers are public and meant to repeat.
        self._dice = random.Random(f"{seed}:{start}")  # noqa: S311

    def uuid(self) -> str:
        """Return the next UUID."""
        return str(uuid.UUID(int=self._dice.getrandbits(128), version=4))

    def trace_id(self) -> str:
        """Return the next trace id in the W3C form that Vipps's answers carry."""
        trace, span = self._dice.getrandbits(128), self._dice.getrandbits(64)
        return f"00-{trace:032x}-{span:016x}-01"
