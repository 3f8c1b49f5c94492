"""How far each sales unit's feed is published: claimed, moved, and put off after a failure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from sqlmodel import Session

from service.broker.cloud_events import Told
from service.store.inserts import table_of
from service.store.recovery import RECOVERING
from service.store.tables import BrokerPosition, Event, Feed
from service.vault import Vault

# Longer than what is done under one (`sink.PUBLISH_FOR_S` and the last answer's time) by enough
# for a slow commit: nobody else publishes a sales unit meanwhile. After a kill it waits so long.
LEASE = timedelta(seconds=30)
# An operator mends a broker in minutes; half a minute later the events are there.
PUT_OFF_MAX_S = 30.0

_AT = table_of(BrokerPosition)
_EVENT = table_of(Event)
_FEED = table_of(Feed)

_HEAD = sa.select(_FEED.c.position).where(_FEED.c.msn == _AT.c.msn).scalar_subquery()


@dataclass(frozen=True, slots=True)
class Held:
    """A sales unit's feed that is ours to publish, from behind `position` on."""

    msn: str
    lease: str
    position: int
    was_failing: bool


@dataclass(frozen=True, slots=True)
class Behind:
    """A sales unit whose events the broker does not take: why, since when, how many wait."""

    msn: str
    reason: str
    since: datetime
    waiting: int


def is_any_due(session: Session, now: datetime) -> bool:
    """Tell whether there is something to publish, or a failure to be tried again."""
    return session.execute(sa.select(_AT.c.msn).where(_is_due(now)).limit(1)).first() is not None


def next_at(session: Session) -> datetime | None:
    """Return when the next lease ends, or the next failure is tried again; None without any."""
    waits_until = sa.func.coalesce(_AT.c.lease_until, _AT.c.next_attempt_at)
    first: datetime | None = session.scalars(sa.select(sa.func.min(waits_until))).one()
    return first


def claim(session: Session, now: datetime) -> list[Held]:
    """Take every sales unit that is due and that nobody holds."""
    taken = session.execute(
        sa.update(_AT)
        .where(_is_due(now))
        .values(lease=uuid4().hex, lease_until=now + LEASE)
        .returning(_AT.c.msn, _AT.c.lease, _AT.c.position, _AT.c.reason)
    )
    return [
        Held(msn, lease, position, reason is not None) for msn, lease, position, reason in taken
    ]


def read_events(session: Session, vault: Vault, held: Held, limit: int) -> list[tuple[int, Told]]:
    """Return the next events of a feed with their positions."""
    rows = session.execute(
        sa.select(_EVENT.c.id, _EVENT.c.type, _EVENT.c.position, _EVENT.c.payload)
        .where(_EVENT.c.msn == held.msn, _EVENT.c.position > held.position)
        .order_by(_EVENT.c.position)
        .limit(limit)
    )
    return [
        (position, Told(key, type_, vault.open(payload, place=f"event:{key}:payload")))
        for key, type_, position, payload in rows
    ]


def advance(session: Session, held: Held, now: datetime) -> bool:
    """Store how far we are, and keep the feed; False where it is not ours any more."""
    return _settle(session, held, position=held.position, lease_until=now + LEASE, **_WELL)


def let_go(session: Session, held: Held) -> None:
    """Leave a feed to whoever comes next."""
    _settle(session, held, lease=None, lease_until=None)


def let_go_at_end(session: Session, held: Held) -> bool:
    """Leave a feed that is published to its end; False where it has grown meanwhile."""
    return _settle(session, held, _AT.c.position >= _HEAD, lease=None, lease_until=None)


def put_off(session: Session, held: Held, reason: str, now: datetime, jitter: float) -> None:
    """Store how far we came and why no further; `jitter` is from 0 to 1."""
    failures = session.execute(sa.select(_AT.c.failures).where(_AT.c.msn == held.msn)).scalar_one()
    wait_s = put_off_s(failures, jitter)
    _settle(
        session,
        held,
        position=held.position,
        lease=None,
        lease_until=None,
        failures=failures + 1,
        next_attempt_at=now + timedelta(seconds=wait_s),
        reason=reason,
        failing_since=sa.func.coalesce(_AT.c.failing_since, now),
    )


def put_off_s(failures: int, jitter: float) -> float:
    """Return the seconds to wait after so many failures before: 1, 2, 4 … 30, less a quarter."""
    return float(min(2.0 ** min(failures, 10), PUT_OFF_MAX_S) * (1 - jitter / 4))


def note_away(session: Session, reason: str, now: datetime) -> None:
    """Store of every feed that nobody is publishing why it can't be."""
    session.execute(
        sa.update(_AT)
        .where(_is_free(now), sa.or_(_AT.c.reason.is_(None), _AT.c.reason != reason))
        .values(reason=reason, failing_since=sa.func.coalesce(_AT.c.failing_since, now))
    )


def failing(session: Session) -> Sequence[Behind]:
    """Return the sales units whose events do not get through, by MSN."""
    rows = session.execute(
        sa.select(_AT.c.msn, _AT.c.reason, _AT.c.failing_since, _HEAD - _AT.c.position)
        .where(_AT.c.reason.is_not(None), _AT.c.failing_since.is_not(None))
        .order_by(_AT.c.msn)
    )
    return [Behind(*row) for row in rows]


_WELL: dict[str, Any] = {
    "failures": 0,
    "next_attempt_at": None,
    "reason": None,
    "failing_since": None,
}


def _is_due(now: datetime) -> sa.ColumnElement[bool]:
    is_time = sa.or_(_AT.c.next_attempt_at.is_(None), _AT.c.next_attempt_at <= now)
    has_work = sa.or_(_AT.c.position < _HEAD, _AT.c.reason.is_not(None))
    return sa.and_(_is_free(now), is_time, has_work, _AT.c.msn.not_in(RECOVERING))


def _is_free(now: datetime) -> sa.ColumnElement[bool]:
    return sa.or_(_AT.c.lease.is_(None), _AT.c.lease_until <= now)


def _settle(
    session: Session, held: Held, *conditions: sa.ColumnElement[bool], **values: Any
) -> bool:
    """Write a feed's row if it is still ours; tell whether it was."""
    ours = (_AT.c.msn == held.msn, _AT.c.lease == held.lease, *conditions)
    changed = session.execute(sa.update(_AT).where(*ours).values(**values).returning(_AT.c.msn))
    return changed.first() is not None
