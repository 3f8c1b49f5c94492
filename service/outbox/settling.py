"""Storing what came of sent deliveries, and making due what waited for them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import SystemRandom
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session

from service.outbox import health, readiness
from service.outbox.deliveries import Claimed
from service.outbox.egress import Reply
from service.outbox.health import Answered, Change
from service.outbox.rows import ATTEMPT, DELIVERY, IS_PENDING, LINE_HEAD
from service.store.tables import DeliveryStatus
from service.vault import Vault
from webhooks.health import Verdict
from webhooks.retry import JITTER_SHARE, next_attempt_at, parse_retry_after

_GONE = 410
# An address that has all hands full mostly has some free again.
_BUSY_WAIT_S = 2.0


@dataclass(frozen=True, slots=True)
class Sent:
    """One claimed delivery with what came of it; `at` is when its attempt began."""

    delivery: Claimed
    reply: Reply
    at: datetime


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
    stored = _still_ours(session, sent)
    returned = [s for s in sent if s.delivery.id in stored and not s.reply.was_tried]
    _give_back(session, returned, now, jitter())
    ours = [s for s in sent if s.delivery.id in stored and s.reply.was_tried]
    if not ours:
        readiness.refresh(session, subscriptions, now=now)
        return Settled(len(returned), has_feed_grown=False)
    attempts = [_attempt(vault, each, stored[each.delivery.id].attempts + 1) for each in ours]
    # Asked for because only then are many rows sent as one statement.
    session.execute(sa.insert(ATTEMPT).returning(ATTEMPT.c.number), attempts).all()
    changes = health.weigh(subscriptions, [_answered(each) for each in ours])
    accepted = [each for each in ours if each.reply.is_accepted]
    _deliver(session, [each.delivery.id for each in accepted], now)
    moves = [
        _retry(each, stored[each.delivery.id], changes, now, jitter())
        for each in ours
        if not each.reply.is_accepted
    ]
    if moves:
        session.execute(_RETRY, moves)
    failed = [move["key"] for move in moves if move["ended_at"] is not None]
    _wake_lines(session, [*failed, *(each.delivery.id for each in accepted)])
    has_grown = health.store(session, vault, subscriptions, changes, now=now, jitter=jitter())
    readiness.refresh(session, subscriptions, now=now)
    return Settled(len(ours) + len(returned), has_grown)


def _give_back(session: Session, returned: Sequence[Sent], now: datetime, jitter: float) -> None:
    """Put off what was not sent, since its address has all hands full: that is no try."""
    if not returned:
        return
    at = now + timedelta(seconds=_BUSY_WAIT_S * (1 + JITTER_SHARE * jitter))
    session.execute(
        sa.update(DELIVERY)
        .where(DELIVERY.c.id.in_([each.delivery.id for each in returned]))
        .values(lease=None, next_attempt_at=at)
    )
    resting = (each.delivery for each in returned if not each.delivery.is_sound)
    readiness.rest(session, {delivery.subscription_id: at for delivery in resting})


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


def _still_ours(session: Session, sent: Sequence[Sent]) -> dict[str, sa.Row[Any]]:
    """Lock what is still leased to us, in one order for all; return its rows by id."""
    leases = {each.delivery.id: each.delivery.lease for each in sent}
    found = session.execute(
        sa.select(DELIVERY)
        .where(DELIVERY.c.id.in_(sorted(leases)), IS_PENDING)
        .order_by(DELIVERY.c.id)
        .with_for_update()
    )
    return {row.id: row for row in found if row.lease == leases[row.id]}


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


def _deliver(session: Session, ids: Sequence[str], now: datetime) -> None:
    if ids:
        session.execute(
            sa.update(DELIVERY)
            .where(DELIVERY.c.id.in_(ids))
            .values(
                status=DeliveryStatus.DELIVERED,
                attempts=DELIVERY.c.attempts + 1,
                lease=None,
                settled_at=now,
            )
        )


def _retry(
    each: Sent, row: sa.Row[Any], changes: Mapping[str, Change], now: datetime, jitter: float
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
    if not ended:
        return
    found = session.execute(sa.select(LINE_HEAD).where(DELIVERY.c.id.in_(ended))).scalars()
    heads = sorted({key for key in found if key is not None})
    if heads:
        session.execute(
            sa.update(DELIVERY)
            .where(
                DELIVERY.c.id.in_(heads),
                # Never tried, so its time is no retry's but that of its wait.
                DELIVERY.c.attempts == DELIVERY.c.attempts_before,
                DELIVERY.c.lease.is_(None),
                DELIVERY.c.next_attempt_at > DELIVERY.c.created_at,
            )
            .values(next_attempt_at=DELIVERY.c.created_at)
        )
