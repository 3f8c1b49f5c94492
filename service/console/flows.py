"""How what is sent to a subscription flows: what waits, what was given up, how fast it answers."""

from dataclasses import dataclass
from statistics import median

import sqlalchemy as sa
from sqlmodel import Session, col

from service.store.tables import Attempt, Delivery, Subscription

# The last ones tell how it fares now.
_TRIES_SEEN = 50


@dataclass(frozen=True, slots=True)
class Flow:
    """One subscription's figures; `latency_ms` is None before the first try."""

    waiting: int
    failed: int
    latency_ms: int | None
    tries: int


def flow_of(session: Session, subscription: Subscription) -> Flow:
    """Return the figures of now."""
    mine = col(Delivery.subscription_id) == subscription.id
    # As text: only then is the partial index known to hold what is asked for.
    waiting = sa.select(sa.func.count()).where(mine, sa.text("delivery.status = 'pending'"))
    failed = sa.select(sa.func.count()).where(
        mine, col(Delivery.msn) == subscription.msn, sa.text("delivery.status = 'failed'")
    )
    newest = sa.select(col(Delivery.id)).where(mine, col(Delivery.attempts) > 0)
    last = newest.order_by(col(Delivery.id).desc()).limit(_TRIES_SEEN).subquery()
    latencies = sa.select(col(Attempt.latency_ms)).join(last, last.c.id == col(Attempt.delivery_id))
    taken = session.scalars(latencies.limit(_TRIES_SEEN)).all()
    return Flow(
        waiting=session.execute(waiting.select_from(Delivery)).scalar_one(),
        failed=session.execute(failed.select_from(Delivery)).scalar_one(),
        latency_ms=round(median(taken)) if taken else None,
        tries=len(taken),
    )
