"""How a subscription fares: the only place that changes its status.

What follows from an answer is decided in `webhooks.health`; here it is stored, told, and what
waited for it is set free.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session

from service.outbox import readiness
from service.outbox.rows import DELIVERY, IS_PENDING, SUBSCRIPTION
from service.outbox.telling import tell_of_subscription
from service.store.instants import rfc3339_of
from service.vault import Vault
from webhooks import health
from webhooks.health import Health, SubscriptionStatus, Verdict
from webhooks.retry import JITTER_SHARE

Row = sa.Row[Any]

# Of some statuses merchants are told when they begin; `parked` shows in the API only.
_TOLD = {
    SubscriptionStatus.DEGRADED: "subscription.degraded",
    SubscriptionStatus.DISABLED: "subscription.disabled",
}
# While it is like this, the schedule stands still: nothing is given up for want of a receiver.
STANDING_STILL = (SubscriptionStatus.PARKED, SubscriptionStatus.DISABLED)


@dataclass(frozen=True, slots=True)
class Answered:
    """What one attempt says about its subscription; `why` is a failure's word."""

    subscription_id: str
    verdict: Verdict
    at: datetime
    why: str


@dataclass(frozen=True, slots=True)
class Change:
    """How one subscription fared, and fares now."""

    before: Health
    after: Health


def weigh(rows: Mapping[str, Row], answers: Sequence[Answered]) -> dict[str, Change]:
    """Return what these answers, in their order, make of the subscriptions' health."""
    changes = {key: Change(of(row), of(row)) for key, row in rows.items()}
    for each in answers:
        before = changes[each.subscription_id]
        after = health.judge(before.after, each.verdict, at=each.at, why=each.why)
        changes[each.subscription_id] = Change(before.before, after)
    return changes


def of(row: Row) -> Health:
    """Return how a subscription fares, by its row."""
    status = SubscriptionStatus(row.status)
    return Health(status, row.failures, row.failing_since, row.reason)


def store(
    session: Session,
    vault: Vault,
    rows: Mapping[str, Row],
    changes: Mapping[str, Change],
    *,
    now: datetime,
    jitter: float = 0.0,
) -> bool:
    """Write what has changed of subscriptions that are locked; tell whether the feed has grown.

    Afterwards `readiness.refresh` is due. `jitter` from -1 to 1 moves their rests."""
    moved = {k: c for k, c in changes.items() if c.before != c.after}
    if not moved:
        return False
    session.execute(_STORE, [_values(rows[k], c.after, now) for k, c in moved.items()])
    rests = {k: _rest(c.after, now, jitter) for k, c in moved.items()}
    readiness.rest(session, rests)
    _set_free(session, moved)
    told = [k for k, c in moved.items() if c.before.status != c.after.status]
    told = [k for k in told if moved[k].after.status in _TOLD and rows[k].deleted_at is None]
    for key in sorted(told, key=lambda each: (rows[each].msn, each)):
        _tell(session, vault, rows[key], moved[key].after, now)
    return bool(told)


_STORE = (
    sa.update(SUBSCRIPTION)
    .where(SUBSCRIPTION.c.id == sa.bindparam("key"))
    .values(
        status=sa.bindparam("new_status"),
        failures=sa.bindparam("new_failures"),
        failing_since=sa.bindparam("since"),
        reason=sa.bindparam("new_reason"),
        verified_at=sa.bindparam("verified"),
    )
)


def _values(row: Row, after: Health, now: datetime | None) -> dict[str, Any]:
    first_verified = now if after.status == SubscriptionStatus.HEALTHY else None
    return {
        "key": row.id,
        "new_status": str(after.status),
        "new_failures": after.failures,
        "since": after.failing_since,
        "new_reason": after.reason,
        "verified": row.verified_at or first_verified,
    }


def _rest(after: Health, now: datetime, jitter: float) -> datetime | None:
    rest_s = health.rest_s(after) * (1 + JITTER_SHARE * jitter)
    return now + timedelta(seconds=rest_s) if rest_s else None


def _set_free(session: Session, moved: Mapping[str, Change]) -> None:
    """Make due, each at its own place in the queue, what waited for its next try.

    After a rest in which nothing could get through the schedule begins anew; after a short
    weakness the try that is given now is not counted, and it goes on."""
    anew, further = [], []
    for key, change in moved.items():
        before, after = change.before.status, change.after.status
        if before == after:
            continue
        if after in STANDING_STILL or before in STANDING_STILL:
            anew.append(key)
        elif before == SubscriptionStatus.DEGRADED:
            further.append(key)
    tried = DELIVERY.c.attempts > DELIVERY.c.attempts_before
    one_more = sa.case((tried, DELIVERY.c.attempts_before + 1), else_=DELIVERY.c.attempts_before)
    for ids, attempts_before in ((anew, DELIVERY.c.attempts), (further, one_more)):
        _due_at_its_place(session, ids, attempts_before)


def _due_at_its_place(
    session: Session, ids: Collection[str], attempts_before: sa.ColumnElement[int]
) -> None:
    if ids:
        session.execute(
            sa.update(DELIVERY)
            .where(
                DELIVERY.c.subscription_id.in_(sorted(ids)),
                IS_PENDING,
                DELIVERY.c.lease.is_(None),
                DELIVERY.c.next_attempt_at > DELIVERY.c.created_at,
            )
            .values(next_attempt_at=DELIVERY.c.created_at, attempts_before=attempts_before)
        )


def _tell(session: Session, vault: Vault, row: Row, after: Health, now: datetime) -> None:
    """Tell the other subscriptions; never the URL, in which merchants keep tokens."""
    since = after.failing_since
    tell_of_subscription(
        session,
        vault,
        msn=row.msn,
        type_=_TOLD[after.status],
        subscription={
            "id": row.id,
            "description": row.description,
            "status": str(after.status),
            "reason": after.reason,
            "failingSince": rfc3339_of(since) if since else None,
        },
        now=now,
    )


def enable(session: Session, vault: Vault, row: Row, *, now: datetime) -> None:
    """Let a locked subscription be sent to again; what it is owed is due, in its order."""
    before = of(row)
    after = health.enable(before, is_verified=row.verified_at is not None)
    store(session, vault, {row.id: row}, {row.id: Change(before, after)}, now=now)
    readiness.rest(session, {row.id: None})
    _due_at_its_place(session, [row.id], DELIVERY.c.attempts)
    readiness.refresh(session, [row.id], now=now)


def disable(session: Session, vault: Vault, row: Row, *, now: datetime) -> None:
    """Stop a locked subscription, as its merchant has asked; what it is owed is kept."""
    before = of(row)
    change = Change(before, health.disable(before))
    store(session, vault, {row.id: row}, {row.id: change}, now=now)
    readiness.refresh(session, [row.id], now=now)


def doubt(session: Session, row: Row) -> None:
    """Have a locked subscription prove itself anew, since its URL is another.

    A disabled one stays so; enabling it comes to the same."""
    before = of(row)
    is_off = before.status == SubscriptionStatus.DISABLED
    after = before if is_off else Health(SubscriptionStatus.UNVERIFIED)
    session.execute(_STORE, [{**_values(row, after, None), "verified": None}])
    readiness.rest(session, {row.id: None})


def accept(session: Session, vault: Vault, subscription_id: str, *, now: datetime) -> None:
    """Note a 2xx that came otherwise than by a delivery: to a test that somebody asked for."""
    rows = readiness.lock(session, [subscription_id])
    answered = Answered(subscription_id, Verdict.ACCEPTED, now, "")
    store(session, vault, rows, weigh(rows, [answered]), now=now)
    readiness.refresh(session, rows, now=now)
