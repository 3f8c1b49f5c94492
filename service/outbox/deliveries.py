"""Claiming what is due: a lease for each delivery that may go out now.

The index of due deliveries is read from its old end, so what is due and may not go yet would
be met again by every claim. A delivery that waits is therefore given a time at which looking
again is worth while; what ends its wait (see settling) makes it due at once, so that this time
is only the fallback. Each look costs the same, however long the queues of dead receivers are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session

from service.ids import new_id
from service.outbox.rows import (
    DELIVERY,
    EVENT,
    IS_PENDING,
    LINE_HEAD,
    PING_LINE,
    SUBSCRIPTION,
    UNVERIFIED_HEAD,
)
from service.store.tables import DeliveryStatus, SubscriptionStatus

# One slow receiver keeps at most this many places of one process (T31).
IN_HAND_PER_SUBSCRIPTION_MAX = 10
# The second look and those after it read this many rows: what is blocked comes in piles.
_LOOK_ROWS = 250
# An end to looking past blocked rows: the transaction stays short, the next goes on.
_LOOKS_MAX = 10
# Behind a delivery that is under way; as long as a lost signal may cost.
_WAIT_S = 1
# A disabled subscription's deliveries: enabling it makes them due.
_DISABLED_WAIT_S = 86_400

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
    url: bytes = field(repr=False)
    secrets: bytes = field(repr=False)
    payload: bytes = field(repr=False)

    @property
    def is_ping(self) -> bool:
        """Tell whether it is a subscription's first `test.ping`, whose payload is not stored."""
        return self.line == PING_LINE


def claim(
    session: Session,
    *,
    now: datetime,
    lease_s: float,
    limit: int,
    in_hand: Mapping[str, int] | None = None,
) -> list[Claimed]:
    """Lease at most `limit` deliveries that are due and may go, and return them.

    In a line (an invoice, for one subscription) only the earliest pending may, unless the
    subscription is not in order; of an unverified subscription only one; of a disabled one
    none. `in_hand` counts what this process is already sending, by subscription. The leases
    share one token; `settle` knows them by it."""
    choice = _Choice(now=now, limit=limit, in_hand=dict(in_hand or {}))
    for look in range(_LOOKS_MAX):
        wanted = max(limit, _LOOK_ROWS) if look else limit
        due = _due(session, choice, wanted)
        _choose(session, choice, due)
        if len(due) < wanted or len(choice.taken) == limit:
            break
    return _lease(session, choice.taken, now + timedelta(seconds=lease_s))


@dataclass(slots=True)
class _Choice:
    """What one claim has come to so far."""

    now: datetime
    limit: int
    in_hand: dict[str, int]
    taken: list[tuple[Row, Row]] = field(default_factory=list)

    @property
    def full(self) -> list[str]:
        """The subscriptions that have all their places taken."""
        return sorted(k for k, n in self.in_hand.items() if n >= IN_HAND_PER_SUBSCRIPTION_MAX)

    def take(self, delivery: Row, subscription: Row) -> None:
        """Take one, where there is a place left."""
        held = self.in_hand.get(subscription.id, 0)
        if len(self.taken) < self.limit and held < IN_HAND_PER_SUBSCRIPTION_MAX:
            self.in_hand[subscription.id] = held + 1
            self.taken.append((delivery, subscription))


def _due(session: Session, choice: _Choice, limit: int) -> Sequence[Row]:
    """Return the rows that have been due longest, locked, without those taken already."""
    taken = [delivery.id for delivery, _ in choice.taken]
    return session.execute(
        sa.select(DELIVERY, LINE_HEAD.label("line_head_id"))
        .where(
            IS_PENDING,
            DELIVERY.c.next_attempt_at <= choice.now,
            DELIVERY.c.subscription_id.not_in(choice.full),
            DELIVERY.c.id.not_in(taken),
        )
        .order_by(DELIVERY.c.next_attempt_at)
        .limit(limit)
        .with_for_update(of=DELIVERY, skip_locked=True)
    ).all()


def _choose(session: Session, choice: _Choice, due: Sequence[Row]) -> None:
    """Take what may go, and put off or end the rest."""
    subscriptions = _subscriptions(session, {row.subscription_id for row in due})
    heads = _heads(session, {row.line_head_id for row in due if row.line_head_id != row.id})
    soon = choice.now + timedelta(seconds=_WAIT_S)
    put_off: dict[str, datetime] = {}
    ended: list[str] = []
    for row in due:
        subscription = subscriptions[row.subscription_id]
        if subscription.deleted_at is not None:
            ended.append(row.id)
        elif subscription.status == SubscriptionStatus.DISABLED:
            put_off[row.id] = choice.now + timedelta(seconds=_DISABLED_WAIT_S)
        elif (wait := _wait(row, subscription, heads)) is not None:
            put_off[row.id] = max(wait.until or soon, soon)
        else:
            choice.take(row, subscription)
    _put_off(session, put_off)
    _end(session, ended, choice.now)


@dataclass(frozen=True, slots=True)
class _Wait:
    """Why a delivery may not go yet: another goes first.

    `until` is that one's next try. While it is under way it is None: the end of a lease says
    nothing, since sending mostly ends earlier."""

    until: datetime | None


def _wait(row: Row, subscription: Row, heads: Mapping[str, _Wait]) -> _Wait | None:
    if subscription.status == SubscriptionStatus.UNVERIFIED:
        if row.id == subscription.head_id:
            return None
        return _Wait(subscription.head_at if subscription.head_lease is None else None)
    may_go = row.line_head_id == row.id or not subscription.is_in_order
    return None if may_go else heads[row.line_head_id]


def _subscriptions(session: Session, ids: set[str]) -> dict[str, Row]:
    head = DELIVERY.alias("head")
    found = session.execute(
        sa.select(
            SUBSCRIPTION.c.id,
            SUBSCRIPTION.c.status,
            SUBSCRIPTION.c.is_in_order,
            SUBSCRIPTION.c.deleted_at,
            SUBSCRIPTION.c.url,
            SUBSCRIPTION.c.secrets,
            head.c.id.label("head_id"),
            head.c.next_attempt_at.label("head_at"),
            head.c.lease.label("head_lease"),
        )
        .select_from(SUBSCRIPTION)
        .outerjoin(head, head.c.id == UNVERIFIED_HEAD)
        .where(SUBSCRIPTION.c.id.in_(sorted(ids)))
    )
    return {row.id: row for row in found}


def _heads(session: Session, ids: set[str]) -> dict[str, _Wait]:
    """Return what it means to wait for each of these, the first pending of their lines."""
    if not ids:
        return {}
    columns = (DELIVERY.c.id, DELIVERY.c.next_attempt_at, DELIVERY.c.lease)
    found = session.execute(sa.select(*columns).where(DELIVERY.c.id.in_(sorted(ids))))
    return {key: _Wait(at if lease is None else None) for key, at, lease in found}


def _put_off(session: Session, until: Mapping[str, datetime]) -> None:
    if until:
        statement = (
            sa.update(DELIVERY)
            .where(DELIVERY.c.id == sa.bindparam("key"))
            .values(next_attempt_at=sa.bindparam("until"))
        )
        session.execute(statement, [{"key": key, "until": at} for key, at in until.items()])


def _end(session: Session, ids: Sequence[str], now: datetime) -> None:
    """Close what is owed to subscriptions that are deleted: nobody will ask for it again."""
    if ids:
        session.execute(
            sa.update(DELIVERY)
            .where(DELIVERY.c.id.in_(ids))
            .values(status=DeliveryStatus.FAILED, settled_at=now)
        )


def _lease(session: Session, taken: Sequence[tuple[Row, Row]], until: datetime) -> list[Claimed]:
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
            url=subscription.url,
            secrets=subscription.secrets,
            payload=payloads.get(delivery.event_id, b""),
        )
        for delivery, subscription in taken
    ]
