"""Sending again what merchants ask for: one delivery, or what a stretch of time held.

The same id and the same bytes as before. What is asked for again waits for nothing and holds
nothing up: it may come out of order.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa
from sqlmodel import Session

from service.errors import Conflict, FieldError, InvalidInput, NotFound
from service.outbox import readiness
from service.outbox.event_types import matches
from service.outbox.fanout import insert_deliveries, new_delivery
from service.outbox.rows import DELIVERY, EVENT, FANOUT, PING_LINE
from service.store.tables import DeliveryStatus, Subscription
from webhooks.health import SubscriptionStatus

Mode = Literal["failed", "all", "latest"]

# What one call may send again: some minutes of a healthy receiver's time.
REPLAY_MAX = 100_000
# Events per look at the feed; each look is a statement of some milliseconds.
_LOOK_EVENTS = 5_000


@dataclass(frozen=True, slots=True)
class Window:
    """Which events a replay is about: recorded from `start` until before `end`."""

    start: datetime
    end: datetime
    mode: Mode


@dataclass(frozen=True, slots=True)
class Wanted:
    """One event that is to be sent again."""

    event_id: str
    line: str
    position: int


def redeliver(session: Session, *, msn: str, delivery_id: str, now: datetime) -> None:
    """Have one delivery sent again at once, whatever became of it.

    One that is under way is left to it. Raises: NotFound, Conflict."""
    found = session.execute(
        sa.select(DELIVERY.c.subscription_id).where(
            DELIVERY.c.id == delivery_id, DELIVERY.c.msn == msn
        )
    ).first()
    if found is None:
        raise NotFound("there is no such delivery")
    _lock_living(session, found.subscription_id)
    session.execute(_set_due(now).where(DELIVERY.c.id == delivery_id, DELIVERY.c.lease.is_(None)))
    readiness.hurry(session, found.subscription_id, now=now)


def find(session: Session, subscription: Subscription, window: Window) -> list[Wanted]:
    """Return what a replay would send again now, in the feed's order.

    `failed`: what did not arrive, or was never tried because the subscription was disabled;
    `all`: every event that its filter takes; `latest`: the last of them for each invoice. What
    still waits to be sent is left out of each. Raises: InvalidInput, where it is too much."""
    found: dict[str, Wanted] = {}
    for row in _walk(session, subscription, window):
        wanted = Wanted(row.id, row.invoice_id or row.id, row.position)
        if window.mode == "latest":
            found.pop(wanted.line, None)
        if _is_wanted(row, subscription, window.mode):
            found[wanted.line if window.mode == "latest" else row.id] = wanted
        if len(found) > REPLAY_MAX:
            reason = f"is too far back: over {REPLAY_MAX} events; take a shorter time"
            raise InvalidInput(FieldError("from", reason))
    return list(found.values())


def send_again(
    session: Session, subscription_id: str, wanted: Sequence[Wanted], *, now: datetime
) -> int:
    """Make these due; return how many were not waiting already. Raises: NotFound, Conflict."""
    row = _lock_living(session, subscription_id)
    there = _statuses(session, subscription_id, [each.event_id for each in wanted])
    ended = [k for k, status in there.items() if status != DeliveryStatus.PENDING]
    session.execute(
        _set_due(now).where(
            DELIVERY.c.subscription_id == subscription_id, DELIVERY.c.event_id.in_(ended)
        )
    )
    missing = [
        new_delivery(
            msn=row.msn,
            subscription_id=subscription_id,
            event_id=each.event_id,
            line=each.line,
            position=each.position,
            now=now,
        )
        for each in wanted
        if each.event_id not in there
    ]
    if missing:
        insert_deliveries(session, [{**each, "is_in_line": False} for each in missing])
    readiness.hurry(session, subscription_id, now=now)
    return len(ended) + len(missing)


def _lock_living(session: Session, subscription_id: str) -> sa.Row[Any]:
    row = readiness.lock(session, [subscription_id]).get(subscription_id)
    if row is None or row.deleted_at is not None:
        raise NotFound("there is no such subscription")
    if row.status == SubscriptionStatus.DISABLED:
        detail = "the subscription is disabled; PATCH its status to healthy first"
        raise Conflict("subscription_disabled", detail)
    return row


def _set_due(now: datetime) -> sa.Update:
    """Return the statement that lets deliveries begin their schedule anew, out of line."""
    return sa.update(DELIVERY).values(
        status=DeliveryStatus.PENDING,
        # A ping stays what it is: the first of all.
        is_in_line=DELIVERY.c.line == PING_LINE,
        attempts_before=DELIVERY.c.attempts,
        next_attempt_at=now,
        lease=None,
        settled_at=None,
    )


def _walk(session: Session, subscription: Subscription, window: Window) -> Any:
    """Yield the window's events that the filter takes, each with its delivery's status.

    Only what has been fanned out: the rest is on its way anyhow."""
    last = session.execute(
        sa.select(FANOUT.c.position).where(FANOUT.c.msn == subscription.msn)
    ).scalar_one()
    after = 0
    while after < last:
        until = min(after + _LOOK_EVENTS, last)
        for row in session.execute(_look(subscription, window, after, until)):
            if matches(subscription.event_types, row.type):
                yield row
        after = until


def _look(subscription: Subscription, window: Window, after: int, until: int) -> sa.Select[Any]:
    mine = sa.and_(DELIVERY.c.event_id == EVENT.c.id, DELIVERY.c.subscription_id == subscription.id)
    return (
        sa.select(
            EVENT.c.id,
            EVENT.c.type,
            EVENT.c.invoice_id,
            EVENT.c.position,
            DELIVERY.c.status,
        )
        .join_from(EVENT, DELIVERY, mine, isouter=True)
        .where(
            EVENT.c.msn == subscription.msn,
            EVENT.c.position > after,
            EVENT.c.position <= until,
            EVENT.c.recorded_at >= window.start,
            EVENT.c.recorded_at < window.end,
            sa.or_(EVENT.c.subscription_id.is_(None), EVENT.c.subscription_id != subscription.id),
        )
        .order_by(EVENT.c.position)
    )


def _is_wanted(row: Any, subscription: Subscription, mode: Mode) -> bool:
    if row.status == DeliveryStatus.PENDING:
        return False
    if mode == "all":
        return True
    if mode == "latest":
        return row.invoice_id is not None
    if row.status is None:  # never tried, because it was disabled
        return bool(row.position > subscription.from_position)
    return bool(row.status == DeliveryStatus.FAILED)


def _statuses(session: Session, subscription_id: str, event_ids: Collection[str]) -> dict[str, str]:
    found = session.execute(
        sa.select(DELIVERY.c.event_id, DELIVERY.c.status)
        .where(DELIVERY.c.subscription_id == subscription_id, DELIVERY.c.event_id.in_(event_ids))
        .with_for_update()
    )
    return {event_id: status for event_id, status in found}
