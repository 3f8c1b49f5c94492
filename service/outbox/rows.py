"""The delivery table as the statements of this package see it."""

from typing import cast

import sqlalchemy as sa
from sqlmodel import SQLModel

from service.store.tables import (
    Attempt,
    Delivery,
    Event,
    Fanout,
    Feed,
    Subscription,
)

# The `line` of a subscription's first delivery, its `test.ping`, which is no event of the feed.
# Empty, because that sorts before every other line in whatever collation a database has.
PING_LINE = ""


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


def _line_head() -> sa.ScalarSelect[str]:
    ahead = DELIVERY.alias("ahead")
    return (
        sa.select(ahead.c.id)
        .where(
            ahead.c.subscription_id == DELIVERY.c.subscription_id,
            ahead.c.line == DELIVERY.c.line,
            is_pending(ahead),
            ahead.c.is_in_line,
        )
        .order_by(ahead.c.position)
        .limit(1)
        .correlate(DELIVERY)
        .scalar_subquery()
    )


# The first pending delivery of a delivery's line, those left out that wait for nothing: one look
# into an index. Stands in statements whose FROM holds DELIVERY.
LINE_HEAD = _line_head()
