"""How a subscription fares: the only place that changes its status."""

from collections.abc import Collection, Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlmodel import Session, col

from service.outbox.rows import DELIVERY, IS_PENDING
from service.store.tables import Subscription, SubscriptionStatus


def mark_verified(session: Session, ids: Collection[str], *, now: datetime) -> None:
    """Make subscriptions that answered 2xx healthy, and their waiting deliveries due.

    Those that are not `unverified` stay as they are."""
    verified = _set_status(
        session, ids, of=[SubscriptionStatus.UNVERIFIED], to=SubscriptionStatus.HEALTHY
    )
    if verified:
        # What waited was never tried; what was tried keeps its own time.
        session.execute(
            sa.update(DELIVERY)
            .where(
                IS_PENDING,
                DELIVERY.c.subscription_id.in_(verified),
                DELIVERY.c.attempts == 0,
                DELIVERY.c.lease.is_(None),
                DELIVERY.c.next_attempt_at > now,
            )
            .values(next_attempt_at=now)
        )


def mark_gone(session: Session, ids: Collection[str]) -> None:
    """Disable subscriptions that answered 410; what they are owed stays pending."""
    alive = [SubscriptionStatus.UNVERIFIED, SubscriptionStatus.HEALTHY]
    _set_status(session, ids, of=alive, to=SubscriptionStatus.DISABLED, reason="gone")


def _set_status(
    session: Session,
    ids: Collection[str],
    *,
    of: Sequence[SubscriptionStatus],
    to: SubscriptionStatus,
    reason: str | None = None,
) -> Sequence[str]:
    """Change those that still have one of the statuses; return which they were."""
    if not ids:
        return []
    statement = (
        sa.update(Subscription)
        .where(col(Subscription.id).in_(sorted(ids)), col(Subscription.status).in_(of))
        .values(status=to, reason=reason)
        .returning(col(Subscription.id))
        .execution_options(synchronize_session=False)
    )
    return session.execute(statement).scalars().all()
