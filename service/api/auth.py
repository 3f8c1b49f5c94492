"""Who calls: the sales unit comes from the API key and from nowhere else (I10, T34)."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlmodel import Session, col

from service.errors import Unauthorized
from service.store.tables import ApiKey

Headers = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Caller:
    """A merchant's system that has shown a good key."""

    msn: str
    key_id: str

    @property
    def actor(self) -> str:
        """Return how the ledger names this caller."""
        return f"key:{self.key_id}"


def key_hash(key: bytes) -> bytes:
    """Return what is stored of an API key: enough to know it again, not to use it."""
    return hashlib.sha256(key).digest()


def authenticate(session: Session, headers: Headers) -> Caller:
    """Return whose key the request carries. Raises: Unauthorized.

    Looked up anew each time, so that a revoked key ends at once."""
    named = sa.select(col(ApiKey.msn), col(ApiKey.id)).where(
        col(ApiKey.key_hash) == key_hash(bearer(headers)), col(ApiKey.revoked_at).is_(None)
    )
    found = session.execute(named).one_or_none()
    if found is None:
        raise Unauthorized
    return Caller(*found)


def bearer(headers: Headers) -> bytes:
    """Return the key that a request carries. Raises: Unauthorized, where it is not one."""
    given = [value for name, value in headers if name == b"authorization"]
    if len(given) != 1:
        raise Unauthorized
    scheme, _, key = given[0].partition(b" ")
    if scheme.lower() != b"bearer" or not key.strip():
        raise Unauthorized
    return key.strip()
