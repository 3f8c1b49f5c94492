"""Storing what came of sent deliveries, and making due what waited for them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from random import SystemRandom
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session

from service.outbox import health
from service.outbox.deliveries import Claimed
from service.outbox.egress import Reply
from service.outbox.rows import ATTEMPT, DELIVERY, IS_PENDING
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
    moves = [_move(each, attempts_made[each.delivery.id], now, jitter()) for each in ours]
    session.execute(
        sa.insert(ATTEMPT),
        [_attempt(vault, each, move) for each, move in zip(ours, moves, strict=True)],
    )
    session.execute(_MOVE, moves)
    ended = {move["key"] for move in moves if move["ended_at"] is not None}
    _wake_lines(session, [each for each in ours if each.delivery.id in ended], now)
    _judge_receivers(session, ours, now)
    return len(ours)


_MOVE = (
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

_WAKE_LINE = (
    sa.update(DELIVERY)
    .where(
        DELIVERY.c.subscription_id == sa.bindparam("whose"),
        DELIVERY.c.line == sa.bindparam("which"),
        DELIVERY.c.position > sa.bindparam("ended"),
        IS_PENDING,
        # Never tried, so its time is no retry's but that of its wait.
        DELIVERY.c.attempts == 0,
        DELIVERY.c.lease.is_(None),
        DELIVERY.c.next_attempt_at > sa.bindparam("now"),
    )
    .values(next_attempt_at=sa.bindparam("now"))
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


def _move(each: Sent, attempts_made: int, now: datetime, jitter: float) -> dict[str, Any]:
    number = attempts_made + 1
    status, next_at = DeliveryStatus.DELIVERED, None
    if not each.reply.is_accepted:
        asked = parse_retry_after(each.reply.retry_after or "", now)
        next_at = next_attempt_at(number, now, jitter=jitter, retry_after_s=asked)
        status = DeliveryStatus.FAILED if next_at is None else DeliveryStatus.PENDING
    return {
        "key": each.delivery.id,
        "new_status": status,
        "number": number,
        "next_at": next_at or now,
        "ended_at": None if status == DeliveryStatus.PENDING else now,
    }


def _attempt(vault: Vault, each: Sent, move: dict[str, Any]) -> dict[str, Any]:
    place = f"attempt:{each.delivery.id}:{move['number']}:answer"
    answer = each.reply.answer
    return {
        "delivery_id": each.delivery.id,
        "number": move["number"],
        "at": each.at,
        "status": each.reply.status,
        "latency_ms": each.reply.latency_ms,
        "answer": vault.seal(answer, place=place) if answer else None,
        "error": each.reply.error,
    }


def _wake_lines(session: Session, ended: Iterable[Sent], now: datetime) -> None:
    lines = [
        {
            "whose": each.delivery.subscription_id,
            "which": each.delivery.line,
            "ended": each.delivery.position,
            "now": now,
        }
        for each in ended
    ]
    if lines:
        session.execute(_WAKE_LINE, lines)


def _judge_receivers(session: Session, ours: Sequence[Sent], now: datetime) -> None:
    accepted = {e.delivery.subscription_id for e in ours if e.reply.is_accepted}
    health.mark_verified(session, accepted, now=now)
    gone = {e.delivery.subscription_id for e in ours if e.reply.status == _GONE}
    health.mark_gone(session, gone)
