"""Passwords: made by us, kept as argon2id, compared in a time that tells nothing."""

import secrets
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

# RFC 9106's second choice scaled to OWASP's floor of 19 MiB, two passes, one lane: some
# 40 ms, and 50 people who sign in at once don't take a small machine's memory.
_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)

# 15 random bytes: 120 bits, in 20 characters that can be typed.
_PASSWORD_BYTES = 15


def new_password() -> str:
    """Return a password that nobody has chosen, and so nobody has used elsewhere."""
    return secrets.token_urlsafe(_PASSWORD_BYTES)


def hash_password(password: str) -> str:
    """Return what is stored of a password: argon2id with a salt of its own."""
    return _HASHER.hash(password)


def is_password(stored: str | None, password: str) -> bool:
    """Tell whether this is the password. For nobody (None) it takes as long, and says no."""
    try:
        return _HASHER.verify(stored or _nobodys(), password) and stored is not None
    except (Argon2Error, InvalidHashError):
        return False


@cache
def _nobodys() -> str:
    return hash_password(new_password())
