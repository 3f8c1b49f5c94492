"""How much of what there is, and how much money is at risk: read from the ledger, by sales unit.

Each figure is one query over an index, so that it costs the same beside years of finished rows;
only invoices by state are counted through, in their index alone. Nothing here names anybody: a
sales unit's MSN is the only name.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session

from service.store.inserts import table_of
from service.store.tables import (
    OPEN_STATUSES,
    BrokerPosition,
    Command,
    Delivery,
    DeliveryStatus,
    Feed,
    Invoice,
    Subscription,
)
from service.store.tables.invoices import WARNED


@dataclass(frozen=True, slots=True)
class AtRisk:
    """Reserved money of which so much of the time to capture it has passed, in per cent.

    `amount_minor` is what is still reserved, in minor units. Of 50, 80 and 95 it is the last that
    has passed: each reservation is in one of these rows."""

    msn: str
    currency: str
    percent: int
    invoices: int
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Counted:
    """How many there are of one kind, in one sales unit."""

    msn: str
    kind: str
    count: int


@dataclass(frozen=True, slots=True)
class Unpublished:
    """How many events of a sales unit the broker has not got, and whether it takes them.

    `reason` is why not, empty where it does; `failing_s` for how many seconds it has not."""

    msn: str
    reason: str
    events: int
    failing_s: float


@dataclass(frozen=True, slots=True)
class Figures:
    """All that is counted in the database, as of one state of it."""

    at_risk: Sequence[AtRisk]
    invoices: Sequence[Counted]  # by state
    problems: Sequence[Counted]  # by the state of the invoices that have one
    commands: Sequence[Counted]  # decided and not settled, by kind
    deliveries: Sequence[Counted]  # pending and failed ones
    subscriptions: Sequence[Counted]  # by status
    unpublished: Sequence[Unpublished]  # empty where there is no broker


def figures(session: Session, *, now: datetime, has_broker: bool) -> Figures:
    """Read every figure of every sales unit."""
    return Figures(
        at_risk=money_at_risk(session),
        invoices=_invoices(session),
        problems=_problems(session),
        commands=_commands(session),
        deliveries=_deliveries(session),
        subscriptions=_subscriptions(session),
        unpublished=_unpublished(session, now) if has_broker else (),
    )


def money_at_risk(session: Session, msn: str = "") -> list[AtRisk]:
    """Return the money that must be captured soon, of one sales unit or of all.

    As the ledger's guardian has warned of it (`capture_window_50|80|95`), so that the figure and
    the events agree."""
    column = table_of(Invoice).c
    rest = column.authorized_minor - column.captured_minor - column.cancelled_minor
    by = (column.msn, column.currency, column.warned_percent)
    # As text: only then does SQLite see that the partial index holds what is asked for.
    found = sa.select(*by, sa.func.count(), sa.func.sum(rest)).where(sa.text(WARNED), rest > 0)
    if msn:
        found = found.where(column.msn == msn)
    rows = session.execute(found.group_by(*by).order_by(*by))
    return [AtRisk(unit, currency, percent, n, int(s)) for unit, currency, percent, n, s in rows]


def _invoices(session: Session) -> list[Counted]:
    column = table_of(Invoice).c
    return _counted(session, column.msn, column.state)


def _problems(session: Session) -> list[Counted]:
    column = table_of(Invoice).c
    return _counted(session, column.msn, column.state, sa.text("problem IS NOT NULL"))


def _commands(session: Session) -> list[Counted]:
    column = table_of(Command).c
    return _counted(session, column.msn, column.kind, _one_of(column.status, OPEN_STATUSES))


def _deliveries(session: Session) -> list[Counted]:
    column = table_of(Delivery).c
    return [
        found
        for status in (DeliveryStatus.PENDING, DeliveryStatus.FAILED)
        for found in _counted(session, column.msn, column.status, column.status == _literal(status))
    ]


def _subscriptions(session: Session) -> list[Counted]:
    column = table_of(Subscription).c
    return _counted(session, column.msn, column.status, column.deleted_at.is_(None))


def _unpublished(session: Session, now: datetime) -> list[Unpublished]:
    at, feed = table_of(BrokerPosition).c, table_of(Feed).c
    rows = session.execute(
        sa.select(at.msn, at.reason, feed.position - at.position, at.failing_since)
        .where(feed.msn == at.msn)
        .order_by(at.msn)
    )
    return [
        Unpublished(msn, reason or "", events, (now - since).total_seconds() if since else 0.0)
        for msn, reason, events, since in rows
    ]


def _one_of(column: sa.ColumnElement[Any], values: Sequence[str]) -> sa.ColumnElement[bool]:
    return column.in_([_literal(value) for value in values])


def _literal(value: str) -> sa.ColumnElement[str]:
    return sa.literal_column(f"'{value}'")


def _counted(
    session: Session,
    msn: sa.ColumnElement[str],
    kind: sa.ColumnElement[str],
    *conditions: sa.ColumnElement[bool] | sa.TextClause,
) -> list[Counted]:
    counted = sa.select(msn, kind, sa.func.count()).where(*conditions)
    rows = session.execute(counted.group_by(msn, kind).order_by(msn, kind))
    return [Counted(*row) for row in rows]
