"""Sending again what merchants ask for: one delivery, or what a stretch of time held.

The same id and the same bytes as before. What is asked for again waits for nothing and holds
nothing up: it may come out of order.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import sqlalchemy as sa
from sqlmodel import Session

from service.errors import Conflict, FieldError, InvalidInput, NoLongerKept, NotFound
from service.outbox import readiness
from service.outbox.event_types import matches
from service.outbox.fanout import insert_deliveries, new_delivery
from service.outbox.rows import DELIVERY, EVENT, FANOUT, PING_LINE
from service.store.instants import rfc3339_of
from service.store.tables import DeliveryStatus, LetGo, Subscription
from webhooks.health import SubscriptionStatus

Mode = Literal["failed", "all", "latest"]

# What one call may send again: some minutes of a healthy receiver's time.
REPLAY_MAX = 100_000
# Events per look at the feed; each look is a statement of some milliseconds.
_LOOK_EVENTS = 5_000
# No transaction lasts so long: what was recorded so much later has a higher position.
_APART = timedelta(minutes=5)


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
    # Held, so that it does not go before the answer shows it; it may have gone since it was found.
    mine = sa.select(DELIVERY.c.id).where(DELIVERY.c.id == delivery_id)
    if session.execute(mine.with_for_update()).first() is None:
        raise NotFound("there is no such delivery")
    session.execute(_set_due(now).where(DELIVERY.c.id == delivery_id, DELIVERY.c.lease.is_(None)))
    readiness.hurry(session, found.subscription_id, now=now)


def find(session: Session, subscription: Subscription, window: Window) -> list[Wanted]:
    """Return what a replay would send again now, in the feed's order.

    `failed`: what did not arrive, or was never tried because the subscription was disabled;
    `all`: every event that its filter takes; `latest`: the last of them for each invoice. What
    still waits to be sent is left out of each. Raises: InvalidInput, where it is too much;
    NoLongerKept, where some of it is gone."""
    _require_kept(session, subscription.msn, window)
    found: dict[str, Wanted] = {}
    for row in _candidates(session, subscription, window):
        if not matches(subscription.event_types, row.type):
            continue
        wanted = Wanted(row.id, row.invoice_id or row.id, row.position)
        if window.mode == "latest":
            found.pop(wanted.line, None)
        if row.status != DeliveryStatus.PENDING:
            found[wanted.line if window.mode == "latest" else row.id] = wanted
        if len(found) > REPLAY_MAX:
            reason = f"is too far back: over {REPLAY_MAX} events; take a shorter time"
            raise InvalidInput(FieldError("from", reason))
    return sorted(found.values(), key=lambda each: each.position)


def _require_kept(session: Session, msn: str, window: Window) -> None:
    """Refuse a window of which events are gone; or deliveries, where they say what is sent.

    Without its delivery, what has arrived would look like what was missed."""
    gone = session.get(LetGo, msn)
    if gone is None:
        return
    if gone.told_at is not None and gone.told_at >= window.start:
        raise NoLongerKept(f"events are kept that are later than {rfc3339_of(gone.told_at)}")
    if window.mode == "failed" and gone.settled_at is not None and gone.settled_at >= window.start:
        raise NoLongerKept(
            "what became of deliveries is no longer known of that time: take a `from` after "
            f"{rfc3339_of(gone.settled_at)}, or the mode `all`"
        )


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
    # Held, so that none of them goes before its delivery is there.
    kept = session.scalars(
        sa.select(EVENT.c.id)
        .where(EVENT.c.id.in_([each.event_id for each in wanted if each.event_id not in there]))
        .with_for_update(read=True, key_share=True)
    ).all()
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
        if each.event_id in kept
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


def _candidates(session: Session, subscription: Subscription, window: Window) -> Iterator[Any]:
    """Yield the window's events that may be wanted, each with its delivery's status."""
    of_window = _of_window(subscription, window)
    if window.mode == "failed":
        yield from session.execute(of_window.where(_HAS_FAILED).order_by(DELIVERY.c.position))
        # Never tried, because it was disabled.
        is_missed = sa.and_(DELIVERY.c.id.is_(None), EVENT.c.position > subscription.from_position)
        yield from _walk(session, subscription, window, of_window.where(is_missed))
    elif window.mode == "latest":
        of_invoices = of_window.where(EVENT.c.invoice_id.is_not(None))
        yield from _walk(session, subscription, window, of_invoices)
    else:
        yield from _walk(session, subscription, window, of_window)


# Spelled as the partial index spells it.
_HAS_FAILED = DELIVERY.c.status == sa.literal_column("'failed'")


def _of_window(subscription: Subscription, window: Window) -> sa.Select[Any]:
    mine = sa.and_(DELIVERY.c.event_id == EVENT.c.id, DELIVERY.c.subscription_id == subscription.id)
    return (
        sa.select(EVENT.c.id, EVENT.c.type, EVENT.c.invoice_id, EVENT.c.position, DELIVERY.c.status)
        .join_from(EVENT, DELIVERY, mine, isouter=True)
        .where(
            EVENT.c.msn == subscription.msn,
            EVENT.c.recorded_at >= window.start,
            EVENT.c.recorded_at < window.end,
            sa.or_(EVENT.c.subscription_id.is_(None), EVENT.c.subscription_id != subscription.id),
        )
    )


def _walk(
    session: Session, subscription: Subscription, window: Window, wanted: sa.Select[Any]
) -> Iterator[Any]:
    """Yield what is wanted of the window's part of the feed, a stretch at a time.

    Only what has been fanned out: the rest is on its way anyhow."""
    told = sa.select(FANOUT.c.position).where(FANOUT.c.msn == subscription.msn)
    last = session.execute(told).scalar_one()
    after = _before(session, subscription.msn, window.start)
    last = min(last, _behind(session, subscription.msn, window.end) or last)
    ordered = wanted.order_by(EVENT.c.position)
    while after < last:
        until = min(after + _LOOK_EVENTS, last)
        yield from session.execute(
            ordered.where(EVENT.c.position > after, EVENT.c.position <= until)
        )
        after = until


def _before(session: Session, msn: str, at: datetime) -> int:
    """Return a position up to which all was recorded before an instant.

    Positions are taken at the end of a transaction and instants at its beginning, so that those
    of near events may be the other way round."""
    earlier = _near(msn).where(EVENT.c.recorded_at < at - _APART)
    return session.execute(earlier.order_by(EVENT.c.recorded_at.desc())).scalar() or 0


def _behind(session: Session, msn: str, at: datetime) -> int | None:
    """Return a position from which on all was recorded after an instant; None: there is none."""
    later = _near(msn).where(EVENT.c.recorded_at >= at + _APART)
    return session.execute(later.order_by(EVENT.c.recorded_at)).scalar()


def _near(msn: str) -> sa.Select[int]:
    # As text: only then does SQLite see that the partial index holds what is asked for.
    is_transition: sa.ColumnElement[bool] = sa.literal_column("is_transition")
    return sa.select(EVENT.c.position).where(EVENT.c.msn == msn, is_transition).limit(1)


def _statuses(session: Session, subscription_id: str, event_ids: Collection[str]) -> dict[str, str]:
    found = session.execute(
        sa.select(DELIVERY.c.event_id, DELIVERY.c.status)
        .where(DELIVERY.c.subscription_id == subscription_id, DELIVERY.c.event_id.in_(event_ids))
        .with_for_update()
    )
    return {event_id: status for event_id, status in found}
