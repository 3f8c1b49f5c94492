"""Claiming what is due: a lease for each delivery that may go out now.

First the subscriptions that are ready, then what each of them is owed, so that a look costs the
same however long the queues of dead receivers are. Who is healthy and who is not are looked for
apart, each within places of their own: the healthy many at once, all others one by one.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session

from service.cause import NOBODY, Cause, cause_of
from service.ids import new_id
from service.outbox import readiness
from service.outbox.due import choose_for_all, first_of_each
from service.outbox.rows import DELIVERY, EVENT, IS_PENDING, PING_LINE, SUBSCRIPTION
from service.store.among import among
from service.store.recovery import RECOVERING
from service.store.tables import DeliveryStatus
from webhooks.health import SubscriptionStatus

# One slow receiver keeps at most this many places of one process (T31).
AT_ONCE_PER_SUBSCRIPTION_MAX = 10
# An end to one transaction: each that is not well costs a few statements.
_SOUND_MAX, _TROUBLED_MAX = 128, 32
# Of what a deleted subscription is still owed, so much is closed at a time.
_END_ROWS = 250

Row = sa.Row[Any]


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery that is ours until the lease ends; what is sealed is still so."""

    id: str
    subscription_id: str
    event_id: str
    lease: str
    is_sound: bool  # its subscription's last answer was a 2xx
    url: bytes = field(repr=False)
    secrets: bytes = field(repr=False)
    payload: bytes = field(repr=False)
    # When a subscription's first `test.ping` was made: its payload follows from that, and is not
    # stored. None: it is another event.
    pinged_at: datetime | None = None
    cause: Cause = NOBODY


@dataclass(frozen=True, slots=True)
class Room:
    """How much one process can take on now.

    `sound` and `troubled` are the places left for subscriptions whose last answer was a 2xx, and
    for all others; `in_hand` counts what it holds, by subscription; those that are `closed` get no
    more. Of each it holds at most its share: who is not in `shares` gets one at a time (None: as
    many as are sent at once, whoever it is), and nothing at all where there is room for those in
    `shares` only. Those in hand that are `unwell` cannot be found among the sound: that look is
    not told of them, however many hang."""

    sound: int
    troubled: int
    in_hand: Mapping[str, int] = field(default_factory=dict)
    closed: Collection[str] = ()
    unwell: Collection[str] = ()
    shares: Mapping[str, int] | None = None
    is_for_trusted_only: bool = False

    def left_for(self, subscription_id: str) -> int:
        """Return how many more of one subscription it can take."""
        share = AT_ONCE_PER_SUBSCRIPTION_MAX
        if self.shares is not None:
            share = self.shares.get(subscription_id, 1)
        return share - self.in_hand.get(subscription_id, 0)


def claim(session: Session, *, now: datetime, lease_s: float, room: Room) -> list[Claimed]:
    """Lease deliveries that are due and may go, as many as there is room for, and return them.

    A subscription whose last try failed has one under way at a time: an unverified one the first
    of its line, its ping; a parked one the oldest. The leases share one token; `settle` knows them
    by it."""
    until = now + timedelta(seconds=lease_s)
    sound = _ready(session, now, room, is_sound=True, limit=min(room.sound, _SOUND_MAX))
    troubled = _ready(session, now, room, is_sound=False, limit=min(room.troubled, _TROUBLED_MAX))
    taken = [
        *_of_the_sound(session, _living(session, sound, now), room, now),
        *_of_the_troubled(session, _living(session, troubled, now), room, now, until),
    ]
    claimed = _lease(session, taken, until)
    readiness.refresh(session, [each.id for each in (*sound, *troubled)], now=now)
    return claimed


def _of_the_sound(
    session: Session, subscriptions: Sequence[Row], room: Room, now: datetime
) -> list[tuple[Row, Row]]:
    shares = _shares(subscriptions, room, room.sound)
    chosen = choose_for_all(session, subscriptions, shares, now)
    return [(row, each) for each in subscriptions for row in chosen[each.id]][: room.sound]


def _shares(subscriptions: Sequence[Row], room: Room, places: int) -> dict[str, int]:
    """Give each its part of the places there are; who is not healthy gets one."""
    fair = -(-places // max(1, len(subscriptions)))
    return {
        each.id: min(fair, room.left_for(each.id))
        if each.status == SubscriptionStatus.HEALTHY
        else 1
        for each in subscriptions
    }


def _of_the_troubled(
    session: Session, subscriptions: Sequence[Row], room: Room, now: datetime, until: datetime
) -> list[tuple[Row, Row]]:
    """Take the first of all until a receiver has said 2xx, of the others what is due."""
    unverified = [each for each in subscriptions if each.status == SubscriptionStatus.UNVERIFIED]
    others = [each for each in subscriptions if each.status != SubscriptionStatus.UNVERIFIED]
    firsts = first_of_each(session, [each.id for each in unverified])
    chosen = choose_for_all(session, others, _shares(others, room, room.troubled), now)
    chosen |= {key: [row] for key, row in firsts.items() if row.next_attempt_at <= now}
    waits = {key: row.next_attempt_at for key, row in firsts.items() if key not in chosen}
    taken = [(row, each) for each in subscriptions for row in chosen.get(each.id, ())]
    del taken[room.troubled :]
    under_way = {each.id: until for _, each in taken}
    readiness.rest(  # one at a time, whichever process has it
        session,
        {
            each.id: waits.get(each.id) or under_way.get(each.id)
            for each in subscriptions
            if each.status != SubscriptionStatus.HEALTHY
        },
    )
    return taken


def _ready(
    session: Session, now: datetime, room: Room, *, is_sound: bool, limit: int
) -> Sequence[Row]:
    """Return subscriptions that have waited longest, locked, without those another works on."""
    if limit <= 0:
        return ()
    closed = {key for key in room.in_hand if room.left_for(key) <= 0}.union(room.closed)
    if is_sound:
        closed.difference_update(room.unwell)
    given = {"now": now, "closed": closed, "at_most": limit}
    if is_sound and room.is_for_trusted_only:
        return session.execute(_READY_TRUSTED, {**given, "trusted": room.shares or ()}).all()
    return session.execute(_READY_SOUND if is_sound else _READY_TROUBLED, given).all()


_STATUS = SUBSCRIPTION.c.status
# In the words of their indexes, which serve no statement that leaves a value open.
_HEALTHY: sa.ColumnElement[str] = sa.literal_column(f"'{SubscriptionStatus.HEALTHY}'")
_NONE: sa.ColumnElement[int] = sa.literal_column("0")
_IS_SOUND = sa.and_(_STATUS == _HEALTHY, SUBSCRIPTION.c.failures == _NONE)
# Every status is named, so that the index finds each at its place.
_IS_TROUBLED = sa.and_(
    _STATUS.in_(list(SubscriptionStatus)),
    sa.or_(_STATUS != _HEALTHY, SUBSCRIPTION.c.failures > _NONE),
)


def _ready_if(is_one: sa.ColumnElement[bool], *, is_sound: bool) -> sa.Select[Any]:
    return (
        sa.select(
            SUBSCRIPTION.c.id,
            SUBSCRIPTION.c.status,
            SUBSCRIPTION.c.is_in_order,
            SUBSCRIPTION.c.deleted_at,
            SUBSCRIPTION.c.url,
            SUBSCRIPTION.c.secrets,
            sa.literal(is_sound).label("is_sound"),
        )
        .where(
            is_one,
            SUBSCRIPTION.c.msn.not_in(RECOVERING),
            SUBSCRIPTION.c.ready_at <= sa.bindparam("now", type_=SUBSCRIPTION.c.ready_at.type),
            sa.not_(among(SUBSCRIPTION.c.id, "closed")),
        )
        .order_by(SUBSCRIPTION.c.ready_at)
        .limit(sa.bindparam("at_most", type_=sa.Integer))
        # Its key stays, so that the fan-out may point to it meanwhile.
        .with_for_update(skip_locked=True, key_share=True)
    )


_READY_SOUND = _ready_if(_IS_SOUND, is_sound=True)
_READY_TRUSTED = _READY_SOUND.where(among(SUBSCRIPTION.c.id, "trusted"))
_READY_TROUBLED = _ready_if(_IS_TROUBLED, is_sound=False)


def _living(session: Session, subscriptions: Sequence[Row], now: datetime) -> list[Row]:
    """Return those that are not deleted; what the others are owed is closed."""
    for each in subscriptions:
        if each.deleted_at is not None:
            _end(session, each.id, now)
    return [each for each in subscriptions if each.deleted_at is None]


def _end(session: Session, subscription_id: str, now: datetime) -> None:
    """Close what is owed to a deleted subscription, some of it: nobody will ask for it again."""
    some = (
        sa.select(DELIVERY.c.id)
        .where(DELIVERY.c.subscription_id == subscription_id, IS_PENDING)
        .limit(_END_ROWS)
    )
    session.execute(
        sa.update(DELIVERY)
        .where(DELIVERY.c.id.in_(some))
        .values(status=DeliveryStatus.FAILED, settled_at=now)
    )


def _lease(session: Session, taken: Sequence[tuple[Row, Row]], until: datetime) -> list[Claimed]:
    if not taken:
        return []
    lease, ids = new_id("lease"), [delivery.id for delivery, _ in taken]
    session.execute(_LEASE, {"ids": ids, "token": lease, "until": until})
    events = {delivery.event_id for delivery, _ in taken if delivery.line != PING_LINE}
    told = {event.id: event for event in session.execute(_TOLD, {"ids": events})}
    pings = [delivery.id for delivery, _ in taken if delivery.line == PING_LINE]
    made_at = {k: at for k, at in session.execute(_MADE_AT, {"ids": pings})} if pings else {}
    return [
        Claimed(
            id=delivery.id,
            subscription_id=subscription.id,
            event_id=delivery.event_id,
            lease=lease,
            is_sound=subscription.is_sound,
            url=subscription.url,
            secrets=subscription.secrets,
            payload=event.payload if (event := told.get(delivery.event_id)) else b"",
            pinged_at=made_at.get(delivery.id),
            cause=cause_of(event.cause if event else None),
        )
        for delivery, subscription in taken
    ]


_LEASE = (
    sa.update(DELIVERY)
    .where(among(DELIVERY.c.id, "ids"))
    .values(lease=sa.bindparam("token"), next_attempt_at=sa.bindparam("until"))
)
_TOLD = sa.select(EVENT.c.id, EVENT.c.payload, EVENT.c.cause).where(among(EVENT.c.id, "ids"))
_MADE_AT = sa.select(DELIVERY.c.id, DELIVERY.c.created_at).where(among(DELIVERY.c.id, "ids"))
