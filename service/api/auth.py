"""Who calls, and what they may: both come from the API key and from nowhere else (I10, T34)."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlmodel import Session, col

from service.context import Context
from service.errors import ScopeMissing, Unauthorized
from service.kinds import Scope
from service.store.keys import is_good_key
from service.store.tables import ApiKey

Headers = Sequence[tuple[bytes, bytes]]

# To see which keys nobody uses; a busy one costs one write in so long.
_USE_NOTED_EVERY = timedelta(minutes=10)

_KNOWN = (col(ApiKey.id), col(ApiKey.msn), col(ApiKey.scopes), col(ApiKey.last_used_at))


@dataclass(frozen=True, slots=True)
class Caller:
    """A merchant's system that has shown a good key."""

    msn: str
    key_id: str
    scopes: frozenset[str]

    @property
    def actor(self) -> str:
        """Return how the ledger names this caller."""
        return f"key:{self.key_id}"

    def require(self, scope: Scope) -> None:
        """Check that the key is good for this. Raises: ScopeMissing."""
        if scope not in self.scopes:
            raise ScopeMissing(scope)


def key_hash(key: bytes) -> bytes:
    """Return what is stored of an API key: enough to know it again, not to use it."""
    return hashlib.sha256(key).digest()


def authenticate(context: Context, headers: Headers) -> Caller:
    """Return whose key the request carries, and note that it is used. Raises: Unauthorized.

    Looked up anew each time, so that a revoked key ends at once."""
    now = context.clock.now()
    shown = col(ApiKey.key_hash) == key_hash(bearer(headers))
    named = sa.select(*_KNOWN).where(shown, is_good_key(now))
    with context.database.snapshot() as session:
        key = session.execute(named).one_or_none()
    if key is None:
        raise Unauthorized
    if key.last_used_at is None or key.last_used_at <= now - _USE_NOTED_EVERY:
        with context.database.transaction() as session:
            _note_use(session, key.id, now)
    return Caller(key.msn, key.id, frozenset(key.scopes))


def _note_use(session: Session, key_id: str, now: datetime) -> None:
    """Note it once, however many requests come at the same time."""
    is_due = sa.or_(
        col(ApiKey.last_used_at).is_(None), col(ApiKey.last_used_at) <= now - _USE_NOTED_EVERY
    )
    used = sa.update(ApiKey).where(col(ApiKey.id) == key_id, is_due)
    session.execute(used.values(last_used_at=now))


def bearer(headers: Headers) -> bytes:
    """Return the key that a request carries. Raises: Unauthorized, where it is not one."""
    given = [value for name, value in headers if name == b"authorization"]
    if len(given) != 1:
        raise Unauthorized
    scheme, _, key = given[0].partition(b" ")
    if scheme.lower() != b"bearer" or not key.strip():
        raise Unauthorized
    return key.strip()
