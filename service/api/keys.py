"""API keys: made once, shown once, kept as a hash."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlmodel import Session, col

from service.api.auth import key_hash
from service.errors import NotFound
from service.ids import new_id
from service.kinds import Scope
from service.store.tables import ApiKey, SalesUnit

# 192 random bits: too many to guess, and no dictionary to try (T35).
_SECRET_BYTES = 24


@dataclass(frozen=True, slots=True)
class Grant:
    """What a key is good for, and until when."""

    scopes: Sequence[Scope] = tuple(Scope)
    expires_at: datetime | None = None


EVERYTHING = Grant()


def create_key(
    session: Session, *, msn: str, name: str, now: datetime, grant: Grant = EVERYTHING
) -> tuple[ApiKey, str]:
    """Store a key's hash and return it with the key in clear, for the only time.

    The key is `bb_<id>_<secret>`. Raises: NotFound, where the sales unit is unknown."""
    if session.get(SalesUnit, msn) is None:
        raise NotFound(f"there is no sales unit {msn}")
    key_id = new_id("key")
    # The prefix lets scanners of leaked secrets know ours.
    plain = f"bb_{key_id}_{secrets.token_urlsafe(_SECRET_BYTES)}"
    row = ApiKey(
        id=key_id,
        msn=msn,
        key_hash=key_hash(plain.encode()),
        name=name,
        scopes=[scope for scope in Scope if scope in grant.scopes],
        created_at=now,
        expires_at=grant.expires_at,
    )
    session.add(row)
    session.flush()
    return row, plain


def rotate_key(
    session: Session, key_id: str, *, overlap: timedelta, now: datetime
) -> tuple[ApiKey, str]:
    """Return another key for the same, in clear for the only time; the old one ends after both
    have been good for the overlap. Raises: NotFound, also for one that is over already."""
    old = session.get(ApiKey, key_id, with_for_update=True)
    is_over = old is None or old.revoked_at or (old.expires_at and old.expires_at <= now)
    if old is None or is_over:
        raise NotFound("there is no such key, or it is over")
    grant = Grant([Scope(scope) for scope in old.scopes], old.expires_at)
    old.expires_at = min(now + overlap, old.expires_at or now + overlap)
    session.add(old)
    return create_key(session, msn=old.msn, name=old.name, now=now, grant=grant)


def list_keys(session: Session, *, msn: str | None = None) -> Sequence[ApiKey]:
    """Return every key, or a sales unit's, newest first, revoked ones too."""
    keys = sa.select(ApiKey).order_by(col(ApiKey.id).desc())
    if msn is not None:
        keys = keys.where(col(ApiKey.msn) == msn)
    return session.scalars(keys).all()


def revoke_key(session: Session, key_id: str, *, now: datetime) -> ApiKey:
    """End a key at once; one that was revoked keeps its first date. Raises: NotFound."""
    row = session.get(ApiKey, key_id)
    if row is None:
        raise NotFound("there is no such key")
    row.revoked_at = row.revoked_at or now
    session.add(row)
    return row
