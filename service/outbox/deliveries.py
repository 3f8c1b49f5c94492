"""Claiming what is due: a lease for each delivery that may go out now.

First the subscriptions that are ready, then what each of them is owed, so that a look costs the
same however long the queues of dead receivers are. Who is healthy and who is not are looked for
apart, each within places of their own.

A delivery that is due and may not go yet is given a time at which looking again is worth while;
what ends its wait (see settling) makes it due at once, so that this time is only the fallback.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session

from service.ids import new_id
from service.outbox import readiness
from service.outbox.rows import DELIVERY, EVENT, IS_PENDING, LINE_HEAD, PING_LINE, SUBSCRIPTION
from service.store.tables import DeliveryStatus
from webhooks.health import SubscriptionStatus

# One slow receiver keeps at most this many places of one process (T31).
IN_HAND_PER_SUBSCRIPTION_MAX = 10
# An end to one transaction: each subscription costs a few statements.
_SUBSCRIPTIONS_MAX = 32
# The second look and those after it read this many rows: what is blocked comes in piles.
_LOOK_ROWS = 250
# An end to looking past blocked rows: the transaction stays short, the next goes on.
_LOOKS_MAX = 10
# Behind a delivery that is under way; as long as a lost signal may cost.
_WAIT_S = 1

Row = sa.Row[Any]


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery that is ours until the lease ends; what is sealed is still so."""

    id: str
    subscription_id: str
    event_id: str
    line: str
    position: int
    lease: str
    created_at: datetime
    is_sound: bool  # its subscription's last answer was a 2xx
    url: bytes = field(repr=False)
    secrets: bytes = field(repr=False)
    payload: bytes = field(repr=False)

    @property
    def is_ping(self) -> bool:
        """Tell whether it is a subscription's first `test.ping`, whose payload is not stored."""
        return self.line == PING_LINE


@dataclass(frozen=True, slots=True)
class Room:
    """How much one process can take on now.

    `sound` and `troubled` are the places left for subscriptions whose last answer was a 2xx, and
    for all others; `in_hand` counts what it is sending, by subscription; those that are `closed`
    get no more. Who is not `trusted` gets one at a time (None: all are), and nothing at all where
    there is room for the trusted only."""

    sound: int
    troubled: int
    in_hand: Mapping[str, int] = field(default_factory=dict)
    closed: Collection[str] = ()
    trusted: Collection[str] | None = None
    is_for_trusted_only: bool = False


def claim(session: Session, *, now: datetime, lease_s: float, room: Room) -> list[Claimed]:
    """Lease deliveries that are due and may go, as many as there is room for, and return them.

    In a line (an invoice, for one subscription) only the earliest pending may, unless the
    subscription is not in order or the delivery was asked for again. A subscription whose last try
    failed has one under way at a time: an unverified one the first of its line, its ping; a
    parked one the oldest. The leases share one token; `settle` knows them by it."""
    lease_until = now + timedelta(seconds=lease_s)
    looked_at: list[str] = []
    taken: list[tuple[Row, Row]] = []
    sound: set[str] = set()
    rests: dict[str, datetime | None] = {}
    for is_sound, places in ((True, room.sound), (False, room.troubled)):
        for subscription in _ready(session, now, room, is_sound=is_sound, limit=places):
            is_healthy = subscription.status == SubscriptionStatus.HEALTHY
            share = min(places, _left(room, subscription.id) if is_healthy else 1)
            chosen = _chosen(session, subscription, share, now)
            if is_sound:
                sound.add(subscription.id)
            if not is_healthy:  # one at a time, whichever process has it
                under_way_until = lease_until if chosen.rows else None
                rests[subscription.id] = chosen.rests_until or under_way_until
            looked_at.append(subscription.id)
            taken += [(row, subscription) for row in chosen.rows]
            places -= len(chosen.rows)
            if places <= 0:
                break
    claimed = _lease(session, taken, sound, lease_until)
    readiness.rest(session, rests)
    readiness.refresh(session, looked_at, now=now)
    return claimed


def _ready(
    session: Session, now: datetime, room: Room, *, is_sound: bool, limit: int
) -> Sequence[Row]:
    """Return subscriptions that have waited longest, locked, without those another works on."""
    if limit <= 0:
        return ()
    full = {key for key in room.in_hand if _left(room, key) <= 0}
    ready = (
        sa.select(
            SUBSCRIPTION.c.id,
            SUBSCRIPTION.c.status,
            SUBSCRIPTION.c.is_in_order,
            SUBSCRIPTION.c.deleted_at,
            SUBSCRIPTION.c.url,
            SUBSCRIPTION.c.secrets,
        )
        .where(
            _IS_SOUND if is_sound else _IS_TROUBLED,
            SUBSCRIPTION.c.ready_at <= now,
            SUBSCRIPTION.c.id.not_in(sorted(full.union(room.closed))),
        )
        .order_by(SUBSCRIPTION.c.ready_at)
        .limit(min(limit, _SUBSCRIPTIONS_MAX))
        # Its key stays, so that the fan-out may point to it meanwhile.
        .with_for_update(skip_locked=True, key_share=True)
    )
    if is_sound and room.is_for_trusted_only:
        ready = ready.where(SUBSCRIPTION.c.id.in_(sorted(room.trusted or ())))
    return session.execute(ready).all()


_STATUS = SUBSCRIPTION.c.status
_IS_SOUND = sa.and_(_STATUS == SubscriptionStatus.HEALTHY, SUBSCRIPTION.c.failures == 0)
# Every status is named, so that the index finds each at its place.
_IS_TROUBLED = sa.and_(
    _STATUS.in_(list(SubscriptionStatus)),
    sa.or_(_STATUS != SubscriptionStatus.HEALTHY, SUBSCRIPTION.c.failures > 0),
)


def _left(room: Room, subscription_id: str) -> int:
    is_trusted = room.trusted is None or subscription_id in room.trusted
    at_most = IN_HAND_PER_SUBSCRIPTION_MAX if is_trusted else 1
    return at_most - room.in_hand.get(subscription_id, 0)


@dataclass(frozen=True, slots=True)
class _Chosen:
    """What of one subscription goes out; where nothing can, perhaps until when it rests."""

    rows: Sequence[Row] = ()
    rests_until: datetime | None = None


def _chosen(session: Session, subscription: Row, share: int, now: datetime) -> _Chosen:
    if subscription.deleted_at is not None:
        _end(session, subscription.id, now)
        return _Chosen()
    if subscription.status == SubscriptionStatus.UNVERIFIED:
        return _first_of_all(session, subscription.id, now)
    rows: list[Row] = []
    for look in range(_LOOKS_MAX):
        wanted = max(share, _LOOK_ROWS) if look else share
        due = _due(session, subscription.id, now, wanted, [row.id for row in rows])
        free = _put_off_blocked(session, subscription, due, now)
        rows += free[: share - len(rows)]
        if len(due) < wanted or len(rows) == share:
            break
    return _Chosen(rows)


def _first_of_all(session: Session, subscription_id: str, now: datetime) -> _Chosen:
    """Return the one delivery that is tried until a receiver has said 2xx.

    It is the first in the order of the partial index, so that finding it costs one look, however
    many wait: the ping, then by invoice."""
    first = session.execute(
        sa.select(DELIVERY)
        .where(DELIVERY.c.subscription_id == subscription_id, IS_PENDING)
        .order_by(DELIVERY.c.line, DELIVERY.c.position)
        .limit(1)
        .with_for_update()
    ).first()
    if first is not None and first.next_attempt_at > now:
        return _Chosen(rests_until=first.next_attempt_at)
    return _Chosen([] if first is None else [first])


def _due(
    session: Session, subscription_id: str, now: datetime, limit: int, taken: Sequence[str]
) -> Sequence[Row]:
    """Return what has been due longest, locked, without those taken already."""
    return session.execute(
        sa.select(DELIVERY, LINE_HEAD.label("line_head_id"))
        .where(
            DELIVERY.c.subscription_id == subscription_id,
            IS_PENDING,
            DELIVERY.c.next_attempt_at <= now,
            DELIVERY.c.id.not_in(taken),
        )
        .order_by(DELIVERY.c.next_attempt_at, DELIVERY.c.position)
        .limit(limit)
        .with_for_update(of=DELIVERY, skip_locked=True)
    ).all()


def _put_off_blocked(
    session: Session, subscription: Row, due: Sequence[Row], now: datetime
) -> list[Row]:
    """Return those that may go; the others wait for the first of their line."""
    blocked = [row for row in due if not _is_free(row, subscription)]
    heads = _heads(session, {row.line_head_id for row in blocked})
    soon = now + timedelta(seconds=_WAIT_S)
    _put_off(session, {row.id: max(heads[row.line_head_id] or soon, soon) for row in blocked})
    return [row for row in due if _is_free(row, subscription)]


def _is_free(row: Row, subscription: Row) -> bool:
    return not (subscription.is_in_order and row.is_in_line) or row.line_head_id == row.id


def _heads(session: Session, ids: set[str]) -> Mapping[str, datetime | None]:
    """Return when the first of each line is tried next; None while it is under way.

    The end of a lease says nothing, since sending mostly ends earlier."""
    if not ids:
        return {}
    columns = (DELIVERY.c.id, DELIVERY.c.next_attempt_at, DELIVERY.c.lease)
    found = session.execute(sa.select(*columns).where(DELIVERY.c.id.in_(sorted(ids))))
    return {key: at if lease is None else None for key, at, lease in found}


def _put_off(session: Session, until: Mapping[str, datetime]) -> None:
    if until:
        statement = (
            sa.update(DELIVERY)
            .where(DELIVERY.c.id == sa.bindparam("key"))
            .values(next_attempt_at=sa.bindparam("until"))
        )
        session.execute(statement, [{"key": key, "until": at} for key, at in until.items()])


def _end(session: Session, subscription_id: str, now: datetime) -> None:
    """Close what is owed to a deleted subscription, some of it: nobody will ask for it again."""
    some = (
        sa.select(DELIVERY.c.id)
        .where(DELIVERY.c.subscription_id == subscription_id, IS_PENDING)
        .limit(_LOOK_ROWS)
    )
    session.execute(
        sa.update(DELIVERY)
        .where(DELIVERY.c.id.in_(some))
        .values(status=DeliveryStatus.FAILED, settled_at=now)
    )


def _lease(
    session: Session,
    taken: Sequence[tuple[Row, Row]],
    sound: Collection[str],
    until: datetime,
) -> list[Claimed]:
    if not taken:
        return []
    lease = new_id("lease")
    session.execute(
        sa.update(DELIVERY)
        .where(DELIVERY.c.id.in_([delivery.id for delivery, _ in taken]))
        .values(lease=lease, next_attempt_at=until)
    )
    events = {delivery.event_id for delivery, _ in taken if delivery.line != PING_LINE}
    found = session.execute(
        sa.select(EVENT.c.id, EVENT.c.payload).where(EVENT.c.id.in_(sorted(events)))
    )
    payloads = {key: payload for key, payload in found}
    return [
        Claimed(
            id=delivery.id,
            subscription_id=subscription.id,
            event_id=delivery.event_id,
            line=delivery.line,
            position=delivery.position,
            lease=lease,
            created_at=delivery.created_at,
            is_sound=subscription.id in sound,
            url=subscription.url,
            secrets=subscription.secrets,
            payload=payloads.get(delivery.event_id, b""),
        )
        for delivery, subscription in taken
    ]
