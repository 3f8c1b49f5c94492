"""Leases and other waits: by whose clock, and what ends them before their time."""

from datetime import UTC, datetime, timedelta

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
    Invoice,
    SalesUnit,
    StoredAnswer,
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


# Until then nothing is planned any more by a clock that has just been put back.
_SOON = timedelta(seconds=15)
# Longer than any lease: who works has it in hand, and settles it until then.
_IN_HAND = timedelta(seconds=60)


def bring_forward(
    session: Session, *, now: datetime, business_now: datetime, beyond: timedelta
) -> None:
    """Make due soon what waits for an instant beyond that: a clock that ran ahead has planned it.

    To try something again too early harms nobody. What somebody works at stays theirs for a while;
    an invoice that was changed under that clock is looked at anew."""
    command, delivery, subscription = (table_of(m) for m in (Command, Delivery, Subscription))
    broker, unit, answer = (table_of(m) for m in (BrokerPosition, SalesUnit, StoredAnswer))
    is_waiting = command.c.status == CommandStatus.WAITING
    is_running = command.c.status == CommandStatus.RUNNING
    is_pending, is_leased = delivery.c.status == "pending", delivery.c.lease.is_not(None)
    for column, wait, *conditions in (
        (command.c.next_attempt_at, _SOON, is_waiting),
        (command.c.next_attempt_at, _IN_HAND, is_running),
        # Subscriptions before their deliveries, as all others lock them.
        (subscription.c.rests_until, _SOON),
        (subscription.c.ready_at, _SOON),
        # What was never tried is put back to when it was made: its place among the others.
        (delivery.c.created_at, timedelta(), is_pending),
        (delivery.c.next_attempt_at, _SOON, is_pending, ~is_leased),
        (delivery.c.next_attempt_at, _IN_HAND, is_pending, is_leased),
        (unit.c.held_until, _SOON),
        (unit.c.registrations_due_at, _SOON),
        (broker.c.next_attempt_at, _SOON),
        (broker.c.lease_until, _IN_HAND),
        (answer.c.busy_until, _IN_HAND),
    ):
        late = sa.update(column.table).where(column > now + beyond, *conditions)
        session.execute(late.values({column.name: now + wait}))
    invoice = table_of(Invoice)
    changed = sa.update(invoice).where(
        invoice.c.attend_at.is_not(None), invoice.c.updated_at > business_now + beyond
    )
    session.execute(changed.values(attend_at=business_now))
