"""Storing what came of sent deliveries, and making due what waited for them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import SystemRandom
from typing import Any, cast

import sqlalchemy as sa
from sqlmodel import Session

from service.outbox import health, readiness
from service.outbox.deliveries import Claimed
from service.outbox.egress import Reply
from service.outbox.health import Answered, Change
from service.outbox.rows import DELIVERY, IS_PENDING, LINE_HEAD
from service.store.among import among
from service.store.statements import insert_rows
from service.store.tables import Attempt, DeliveryStatus
from service.vault import Vault
from webhooks.health import Health, SubscriptionStatus, Verdict
from webhooks.retry import JITTER_SHARE, next_attempt_at, parse_retry_after

_GONE = 410
# An address that has all hands full mostly has some free again.
_BUSY_WAIT_S = 2.0


Key = tuple[str, str]
Row = sa.Row[Any]


@dataclass(frozen=True, slots=True)
class Sent:
    """One claimed delivery with what came of it; `at` is when its attempt began."""

    delivery: Claimed
    reply: Reply
    at: datetime

    @property
    def key(self) -> Key:
        """Return what is settled: one delivery under one lease."""
        return self.delivery.id, self.delivery.lease

    @property
    def is_urgent(self) -> bool:
        """Tell whether somebody may wait for it: not where one that failed has failed again."""
        return self.delivery.is_sound or self.reply.is_accepted


def spread() -> float:
    """Return one throw of the dice for the retry schedule, from -1 to 1."""
    return SystemRandom().uniform(-1, 1)


@dataclass(frozen=True, slots=True)
class Settled:
    """What settling has come to: how many were still ours, and whether there is news to tell."""

    count: int
    has_feed_grown: bool


def settle(
    session: Session,
    vault: Vault,
    sent: Sequence[Sent],
    *,
    now: datetime,
    jitter: Callable[[], float] = spread,
) -> Settled:
    """Store attempts and what follows from them.

    One whose lease has passed to another is left out: the other's result counts. A 2xx ends a
    delivery, and so does the last step of the schedule, unless the subscription is parked or
    disabled: for want of a receiver nothing is given up."""
    subscriptions = readiness.lock(session, {each.delivery.subscription_id for each in sent})
    accepted, others = _parted(sent)
    numbers = _deliver(session, accepted, now)
    rows = _still_ours(session, others)
    busy = [each for each in others if each.key in rows and not each.reply.was_tried]
    _put_off_busy(session, busy, now, jitter())
    refused = [each for each in others if each.key in rows and each.reply.was_tried]
    numbers |= {each.key: rows[each.key].attempts + 1 for each in refused}
    ours = [each for each in sent if each.key in numbers]
    has_grown = False
    if ours:
        insert_rows(session, Attempt, [_attempt(vault, e, numbers[e.key]) for e in ours])
        changes = health.weigh(subscriptions, _telling(subscriptions, ours))
        moves = [_retry(each, rows[each.key], changes, now, jitter()) for each in refused]
        if moves:
            session.execute(_RETRY, moves)
        failed = [move["key"] for move in moves if move["ended_at"] is not None]
        _wake_lines(session, [*failed, *(e.delivery.id for e in ours if e.reply.is_accepted)])
        has_grown = health.store(session, vault, subscriptions, changes, now=now, jitter=jitter())
    readiness.refresh(session, subscriptions, now=now)
    return Settled(len(ours) + len(busy), has_grown)


def _parted(sent: Sequence[Sent]) -> tuple[list[Sent], list[Sent]]:
    """Return those that were taken, and the others."""
    return [e for e in sent if e.reply.is_accepted], [e for e in sent if not e.reply.is_accepted]


def give_back(session: Session, deliveries: Sequence[Claimed], *, now: datetime) -> None:
    """Let go of deliveries that were claimed and not sent: due at their place, if still ours."""
    subscriptions = readiness.lock(session, {each.subscription_id for each in deliveries})
    for lease, ids in _by_lease(deliveries).items():
        session.execute(_GIVE_BACK, {"ids": ids, "token": lease, "at": now})
    readiness.refresh(session, subscriptions, now=now)


def _put_off_busy(session: Session, busy: Sequence[Sent], now: datetime, jitter: float) -> None:
    """Put off what was not sent, since its address has all hands full: that is no try."""
    if not busy:
        return
    at = now + timedelta(seconds=_BUSY_WAIT_S * (1 + JITTER_SHARE * jitter))
    session.execute(
        sa.update(DELIVERY)
        .where(DELIVERY.c.id.in_([each.delivery.id for each in busy]))
        .values(lease=None, next_attempt_at=at)
    )
    resting = (each.delivery for each in busy if not each.delivery.is_sound)
    readiness.rest(session, {delivery.subscription_id: at for delivery in resting})


_WELL = Health(SubscriptionStatus.HEALTHY)


def _telling(subscriptions: Mapping[str, Row], ours: Sequence[Sent]) -> list[Answered]:
    """Return the answers that may change something: not one more 2xx of who is well."""
    refusing = {each.delivery.subscription_id for each in ours if not each.reply.is_accepted}
    troubled = {key for key, row in subscriptions.items() if health.of(row) != _WELL}
    changing = refusing | troubled
    return [_answered(each) for each in ours if each.delivery.subscription_id in changing]


def _answered(each: Sent) -> Answered:
    reply = each.reply
    verdict = Verdict.GONE if reply.status == _GONE else Verdict.REFUSED
    return Answered(
        each.delivery.subscription_id,
        Verdict.ACCEPTED if reply.is_accepted else verdict,
        each.at,
        f"status_{reply.status}" if reply.status is not None else reply.error or "no_answer",
    )


_RETRY = (
    sa.update(DELIVERY)
    .where(DELIVERY.c.id == sa.bindparam("key"))
    .values(
        status=sa.bindparam("new_status"),
        attempts=sa.bindparam("number"),
        attempts_before=sa.bindparam("before"),
        next_attempt_at=sa.bindparam("next_at"),
        settled_at=sa.bindparam("ended_at"),
        lease=None,
    )
)


def _still_ours(session: Session, sent: Sequence[Sent]) -> dict[Key, Row]:
    """Lock what is still leased to us, in one order for all; return its rows."""
    if not sent:
        return {}
    found = session.execute(
        sa.select(DELIVERY)
        .where(DELIVERY.c.id.in_(sorted(each.delivery.id for each in sent)), IS_PENDING)
        .order_by(DELIVERY.c.id)
        .with_for_update()
    )
    keys = {each.key for each in sent}
    return {key: row for row in found if (key := (row.id, row.lease)) in keys}


def _attempt(vault: Vault, each: Sent, number: int) -> dict[str, Any]:
    place = f"attempt:{each.delivery.id}:{number}:answer"
    answer = each.reply.answer
    return {
        "delivery_id": each.delivery.id,
        "number": number,
        "at": each.at,
        "status": each.reply.status,
        "latency_ms": each.reply.latency_ms,
        "answer": vault.seal(answer, place=place) if answer else None,
        "error": each.reply.error,
    }


def _deliver(session: Session, accepted: Sequence[Sent], now: datetime) -> dict[Key, int]:
    """Close what has been taken and is still leased to us; return each one's number of tries."""
    numbers: dict[Key, int] = {}
    for lease, ids in _by_lease([each.delivery for each in accepted]).items():
        closed = session.execute(_DELIVERED, {"ids": ids, "token": lease, "at": now})
        numbers |= {(key, lease): number for key, number in closed}
    return numbers


_IS_OURS = sa.and_(
    among(DELIVERY.c.id, "ids"), IS_PENDING, DELIVERY.c.lease == sa.bindparam("token")
)
_DELIVERED = (
    sa.update(DELIVERY)
    .where(_IS_OURS)
    .values(
        status=DeliveryStatus.DELIVERED,
        attempts=DELIVERY.c.attempts + 1,
        lease=None,
        settled_at=sa.bindparam("at"),
    )
    .returning(DELIVERY.c.id, DELIVERY.c.attempts)
)


_GIVE_BACK = (
    sa.update(DELIVERY)
    .where(_IS_OURS)
    .values(
        lease=None,
        next_attempt_at=sa.case(
            (DELIVERY.c.attempts == DELIVERY.c.attempts_before, DELIVERY.c.created_at),
            else_=sa.bindparam("at", type_=DELIVERY.c.next_attempt_at.type),
        ),
    )
)


def _by_lease(deliveries: Sequence[Claimed]) -> dict[str, list[str]]:
    ids: dict[str, list[str]] = {}
    for each in deliveries:
        ids.setdefault(each.lease, []).append(each.id)
    return ids


def _retry(
    each: Sent, row: Row, changes: Mapping[str, Change], now: datetime, jitter: float
) -> dict[str, Any]:
    """Return the row's new values: the schedule's next step, or its end."""
    asked = parse_retry_after(each.reply.retry_after or "", now)
    tries = row.attempts + 1 - row.attempts_before
    next_at = next_attempt_at(tries, now, jitter=jitter, retry_after_s=asked)
    attempts_before = row.attempts_before
    if changes[row.subscription_id].after.status in health.STANDING_STILL:
        # At its place in the queue, so that the oldest is the one that is tried next.
        next_at, attempts_before = row.created_at, row.attempts + 1
    return {
        "key": row.id,
        "new_status": DeliveryStatus.FAILED if next_at is None else DeliveryStatus.PENDING,
        "number": row.attempts + 1,
        "before": attempts_before,
        "next_at": next_at or now,
        "ended_at": now if next_at is None else None,
    }


def _wake_lines(session: Session, ended: Sequence[str]) -> None:
    """Make due what is now first in the lines of ended deliveries."""
    if ended:
        session.execute(_WAKE, {"ids": ended})


_WOKEN = cast(sa.Alias, DELIVERY.alias("woken"))
_HEADS = sa.select(LINE_HEAD).where(among(DELIVERY.c.id, "ids"))
_WAKE = (
    sa.update(_WOKEN)
    .where(
        _WOKEN.c.id.in_(_HEADS),
        # Never tried, so its time is no retry's but that of its wait.
        _WOKEN.c.attempts == _WOKEN.c.attempts_before,
        _WOKEN.c.lease.is_(None),
        _WOKEN.c.next_attempt_at > _WOKEN.c.created_at,
    )
    .values(next_attempt_at=_WOKEN.c.created_at)
)
