"""Storing what came of sent deliveries, and making due what waited for them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from random import SystemRandom
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session

from service.outbox import health
from service.outbox.deliveries import Claimed
from service.outbox.egress import Reply
from service.outbox.rows import ATTEMPT, DELIVERY, IS_PENDING, LINE_HEAD
from service.store.tables import DeliveryStatus
from service.vault import Vault
from webhooks.retry import next_attempt_at, parse_retry_after

_GONE = 410


@dataclass(frozen=True, slots=True)
class Sent:
    """One claimed delivery with what came of it; `at` is when its attempt began."""

    delivery: Claimed
    reply: Reply
    at: datetime


def spread() -> float:
    """Return one throw of the dice for the retry schedule, from -1 to 1."""
    return SystemRandom().uniform(-1, 1)


def settle(
    session: Session,
    vault: Vault,
    sent: Sequence[Sent],
    *,
    now: datetime,
    jitter: Callable[[], float] = spread,
) -> int:
    """Store attempts and what follows from them; return how many were still ours.

    One whose lease has passed to another is left out: the other's result counts. A 2xx ends a
    delivery, and so does the last step of the schedule; 410 disables the subscription."""
    attempts_made = _still_ours(session, sent)
    ours = [each for each in sent if each.delivery.id in attempts_made]
    if not ours:
        return 0
    attempts = [_attempt(vault, each, attempts_made[each.delivery.id] + 1) for each in ours]
    # Asked for because only then are many rows sent as one statement.
    session.execute(sa.insert(ATTEMPT).returning(ATTEMPT.c.number), attempts).all()
    accepted = [each for each in ours if each.reply.is_accepted]
    _deliver(session, [each.delivery.id for each in accepted], now)
    moves = [
        _retry(each, attempts_made[each.delivery.id] + 1, now, jitter())
        for each in ours
        if not each.reply.is_accepted
    ]
    if moves:
        session.execute(_RETRY, moves)
    failed = [move["key"] for move in moves if move["ended_at"] is not None]
    _wake_lines(session, [*failed, *(each.delivery.id for each in accepted)], now)
    _judge_receivers(session, ours, now)
    return len(ours)


_RETRY = (
    sa.update(DELIVERY)
    .where(DELIVERY.c.id == sa.bindparam("key"))
    .values(
        status=sa.bindparam("new_status"),
        attempts=sa.bindparam("number"),
        next_attempt_at=sa.bindparam("next_at"),
        settled_at=sa.bindparam("ended_at"),
        lease=None,
    )
)


def _still_ours(session: Session, sent: Sequence[Sent]) -> dict[str, int]:
    """Lock what is still leased to us, in one order for all; return the attempts so far."""
    leases = {each.delivery.id: each.delivery.lease for each in sent}
    found = session.execute(
        sa.select(DELIVERY.c.id, DELIVERY.c.lease, DELIVERY.c.attempts)
        .where(DELIVERY.c.id.in_(sorted(leases)), IS_PENDING)
        .order_by(DELIVERY.c.id)
        .with_for_update()
    )
    return {key: attempts for key, lease, attempts in found if lease == leases[key]}


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


def _retry(each: Sent, number: int, now: datetime, jitter: float) -> dict[str, Any]:
    """Return the row's new values: the schedule's next step, or its end."""
    asked = parse_retry_after(each.reply.retry_after or "", now)
    next_at = next_attempt_at(number, now, jitter=jitter, retry_after_s=asked)
    return {
        "key": each.delivery.id,
        "new_status": DeliveryStatus.FAILED if next_at is None else DeliveryStatus.PENDING,
        "number": number,
        "next_at": next_at or now,
        "ended_at": now if next_at is None else None,
    }


def _wake_lines(session: Session, ended: Sequence[str], now: datetime) -> None:
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
                DELIVERY.c.attempts == 0,
                DELIVERY.c.lease.is_(None),
                DELIVERY.c.next_attempt_at > now,
            )
            .values(next_attempt_at=now)
        )


def _judge_receivers(session: Session, ours: Sequence[Sent], now: datetime) -> None:
    accepted = {e.delivery.subscription_id for e in ours if e.reply.is_accepted}
    health.mark_verified(session, accepted, now=now)
    gone = {e.delivery.subscription_id for e in ours if e.reply.status == _GONE}
    health.mark_gone(session, gone)
