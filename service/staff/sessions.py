"""Who is signed in: a random cookie, of which only a hash is kept, with two ends.

A session ends 15 minutes after the last request, and 12 hours after signing in, whatever is
done (T36). It is looked up anew each time, so that who is let go is out at once.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlmodel import Session, col

from service.errors import NotFound, Unauthorized
from service.staff.users import Person, opened
from service.store.tables import StaffSession, StaffUser
from service.vault import Vault

IDLE_END = timedelta(minutes=15)
ABSOLUTE_END = timedelta(hours=12)
# Each look writes nothing for so long: a page that is live would write all day.
_SEEN_EVERY = timedelta(minutes=1)
_TOKEN_BYTES = 32


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Who makes a request, for which sales unit, and what their forms must carry."""

    person: Person
    msn: str
    csrf_token: str = field(repr=False)
    token_hash: bytes = field(repr=False)


def open_session(session: Session, user_id: str, msn: str, *, now: datetime) -> str:
    """Store a new session and return the cookie's value, for the only time."""
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    ended = sa.delete(StaffSession).where(col(StaffSession.ends_at) < now)
    session.execute(ended)
    row = StaffSession(
        token_hash=_hash(token), user_id=user_id, msn=msn, seen_at=now, ends_at=now + ABSOLUTE_END
    )
    session.add(row)
    return token


def signed_in(session: Session, vault: Vault, token: str, *, now: datetime) -> SignedIn:
    """Return whose cookie this is. Raises: Unauthorized."""
    row = session.get(StaffSession, _hash(token))
    if row is None or now >= row.ends_at or now >= row.seen_at + IDLE_END:
        raise Unauthorized
    user = session.get_one(StaffUser, row.user_id)
    if user.disabled_at is not None:
        raise Unauthorized
    person = opened(session, vault, user)
    if row.msn not in person.msns:
        raise Unauthorized
    return SignedIn(person, row.msn, csrf_token(token), row.token_hash)


def is_seen_long_ago(session: Session, who: SignedIn, *, now: datetime) -> bool:
    """Tell whether it is time to note that this session is still used."""
    row = session.get_one(StaffSession, who.token_hash)
    return now >= row.seen_at + _SEEN_EVERY


def note_seen(session: Session, who: SignedIn, *, now: datetime) -> None:
    """Put the idle end off."""
    row = session.get(StaffSession, who.token_hash)
    if row is not None:
        row.seen_at = now
        session.add(row)


def look_at(session: Session, who: SignedIn, msn: str) -> None:
    """Look at another of the person's sales units from now on. Raises: NotFound."""
    if msn not in who.person.msns:
        raise NotFound("there is no such sales unit")
    session.get_one(StaffSession, who.token_hash).msn = msn


def end_session(session: Session, token: str) -> None:
    """Sign out; doing it again changes nothing."""
    session.execute(sa.delete(StaffSession).where(col(StaffSession.token_hash) == _hash(token)))


def csrf_token(token: str) -> str:
    """Return what this session's forms carry: another site can't know it, nor make it."""
    return hmac.new(token.encode(), b"betalbar console form", "sha256").hexdigest()


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
