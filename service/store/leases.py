"""Leases: by whose clock, and those of a process that is gone where nobody else can hold one."""

from datetime import UTC, datetime

import sqlalchemy as sa
from sqlmodel import Session

from service.store.db import Database
from service.store.inserts import table_of
from service.store.tables import (
    BrokerPosition,
    Command,
    CommandStatus,
    Delivery,
    DeliveryStatus,
    Subscription,
)


def database_time(session: Session) -> datetime:
    """Return what PostgreSQL's clock says at this moment, UTC."""
    now: datetime = session.execute(_NOW).scalar_one()
    return now.astimezone(UTC)


_NOW = sa.select(sa.func.clock_timestamp())


def end_leases_of_the_dead(database: Database, *, now: datetime) -> None:
    """Make due at once what a killed process had in hand; on SQLite only.

    There one process works, and it is just starting. Were it not alone, nothing would break:
    leases are fenced, keys and event ids stay the same. On PostgreSQL another process may be at
    it, so that leases end by their time. Raises: DatabaseAway."""
    if not database.is_sqlite:
        return
    command, delivery, subscription = (table_of(m) for m in (Command, Delivery, Subscription))
    broker = table_of(BrokerPosition)
    with database.transaction() as session:
        session.execute(
            sa.update(command)
            .where(command.c.status == CommandStatus.RUNNING)
            .values(next_attempt_at=now)
        )
        freed = session.execute(
            sa.update(delivery)
            .where(delivery.c.status == DeliveryStatus.PENDING, delivery.c.lease.is_not(None))
            .values(next_attempt_at=now, lease=None)
            .returning(delivery.c.subscription_id)
        )
        session.execute(
            sa.update(subscription)
            .where(subscription.c.id.in_(set(freed.scalars())))
            .values(ready_at=now, rests_until=None)
        )
        session.execute(
            sa.update(broker)
            .where(broker.c.lease.is_not(None))
            .values(lease=None, lease_until=None, next_attempt_at=None)
        )
