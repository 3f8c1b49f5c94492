"""The delivery table as the statements of this package see it."""

from typing import cast

import sqlalchemy as sa
from sqlmodel import SQLModel

from service.store.tables import Attempt, Delivery, Event, Fanout, Feed, Subscription

# The `line` of a subscription's first delivery, its `test.ping`: no event of the feed, told by
# this name, never by a payload that is missing.
PING_LINE = "test.ping"


def table_of(model: type[SQLModel]) -> sa.Table:
    """Return the table behind a model, for statements over many rows."""
    return cast(sa.Table, model.__table__)  # type: ignore[attr-defined] # sqlmodel does not declare it


ATTEMPT = table_of(Attempt)
DELIVERY = table_of(Delivery)
EVENT = table_of(Event)
FANOUT = table_of(Fanout)
FEED = table_of(Feed)
SUBSCRIPTION = table_of(Subscription)


def is_pending(table: sa.FromClause) -> sa.ColumnElement[bool]:
    """Return the condition of the partial indexes, spelled as they spell it.

    With a bound parameter neither database can prove that a partial index holds the rows;
    guarded by test_claim_beside_finished_rows_uses_the_partial_index."""
    return table.c.status == sa.literal_column("'pending'")


IS_PENDING = is_pending(DELIVERY)


def line_head() -> sa.ScalarSelect[str]:
    """Return the first pending delivery of a delivery's line: one look into an index.

    To be used where the statement's FROM holds DELIVERY."""
    ahead = DELIVERY.alias("ahead")
    return (
        sa.select(ahead.c.id)
        .where(
            ahead.c.subscription_id == DELIVERY.c.subscription_id,
            ahead.c.line == DELIVERY.c.line,
            is_pending(ahead),
        )
        .order_by(ahead.c.position)
        .limit(1)
        .correlate(DELIVERY)
        .scalar_subquery()
    )


def unverified_head() -> sa.ScalarSelect[str]:
    """Return the one delivery of a subscription that is tried while it is unverified.

    The oldest row's line, then the earliest of that line: both by an index, and ids made by
    another machine's clock can't set one against the other. To be used where the statement's
    FROM holds SUBSCRIPTION."""
    oldest, first = DELIVERY.alias("oldest"), DELIVERY.alias("first")
    line = (
        sa.select(oldest.c.line)
        .where(oldest.c.subscription_id == SUBSCRIPTION.c.id, is_pending(oldest))
        .order_by(oldest.c.id)
        .limit(1)
        .correlate(SUBSCRIPTION)
        .scalar_subquery()
    )
    return (
        sa.select(first.c.id)
        .where(
            first.c.subscription_id == SUBSCRIPTION.c.id, first.c.line == line, is_pending(first)
        )
        .order_by(first.c.position)
        .limit(1)
        .correlate(SUBSCRIPTION)
        .scalar_subquery()
    )
