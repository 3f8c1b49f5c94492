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

from service.ids import made_at
from service.store.inserts import table_of
from service.store.recovery import recovering_since
from service.store.tables import (
    OPEN_STATUSES,
    BrokerPosition,
    Command,
    Delivery,
    DeliveryStatus,
    Event,
    Fanout,
    Feed,
    Invoice,
    Registration,
    SalesUnit,
    Subscription,
    SubscriptionStatus,
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
class Aged:
    """For how many seconds the oldest of one kind has waited, in one sales unit."""

    msn: str
    kind: str
    age_s: float


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
    commands_aged: Sequence[Aged]  # the same; a payment that is to be read has one of its own
    deliveries: Sequence[Counted]  # pending and failed ones
    events_aged: Sequence[Aged]  # not delivered to who takes events, or not even fanned out
    subscriptions: Sequence[Counted]  # by status
    held: Sequence[Aged]  # sales units whose keys Vipps refuses
    recovering: Sequence[Aged]  # those that were restored, and have not read all at Vipps yet
    unregistered: Sequence[Aged]  # those whose webhooks Vipps has dropped
    unpublished: Sequence[Unpublished]  # empty where there is no broker


def figures(session: Session, *, now: datetime, has_broker: bool) -> Figures:
    """Read every figure of every sales unit."""
    commands, commands_aged = _commands(session, now)
    return Figures(
        at_risk=money_at_risk(session),
        invoices=_invoices(session),
        problems=_problems(session),
        commands=commands,
        commands_aged=commands_aged,
        deliveries=_deliveries(session),
        events_aged=_events_aged(session, now),
        subscriptions=_subscriptions(session),
        held=_held(session, now),
        recovering=_recovering(session, now),
        unregistered=_unregistered(session, now),
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


def _commands(session: Session, now: datetime) -> tuple[list[Counted], list[Aged]]:
    column = table_of(Command).c
    found = session.execute(
        sa.select(column.msn, column.kind, sa.func.count(), sa.func.min(column.created_at))
        .where(_one_of(column.status, OPEN_STATUSES))
        .group_by(column.msn, column.kind)
        .order_by(column.msn, column.kind)
    ).all()
    counted = [Counted(msn, kind, count) for msn, kind, count, _ in found]
    return counted, [_aged(msn, kind, since, now) for msn, kind, _, since in found]


def _events_aged(session: Session, now: datetime) -> list[Aged]:
    """Return how old the oldest event is that somebody still waits for, by where it waits."""
    row, to = table_of(Delivery).c, table_of(Subscription).c
    waiting = session.execute(
        sa.select(row.msn, sa.func.min(row.created_at))
        .join(table_of(Subscription), to.id == row.subscription_id)
        .where(
            row.status == _literal(DeliveryStatus.PENDING),
            # Who has been disabled is told of elsewhere, and would be the oldest for ever.
            to.status != _literal(SubscriptionStatus.DISABLED),
            to.deleted_at.is_(None),
        )
        .group_by(row.msn)
        .order_by(row.msn)
    )
    event, at = table_of(Event).c, table_of(Fanout).c
    # A subquery, so that it is one look into the index for each sales unit.
    follows = sa.and_(event.msn == at.msn, event.position == at.position + 1)
    following = sa.select(event.id).where(follows).correlate(table_of(Fanout)).scalar_subquery()
    unsent = session.execute(sa.select(at.msn, following).order_by(at.msn))
    return [
        *(_aged(msn, "delivery", since, now) for msn, since in waiting),
        # By real time, in which the id was made: the sandbox's clock may be anywhere.
        *(_aged(msn, "feed", made_at(key), now) for msn, key in unsent if key is not None),
    ]


def _held(session: Session, now: datetime) -> list[Aged]:
    column = table_of(SalesUnit).c
    found = sa.select(column.msn, column.held_because, column.held_since)
    rows = session.execute(found.where(column.held_since.is_not(None)).order_by(column.msn))
    return [_aged(msn, because or "", since, now) for msn, because, since in rows]


def _recovering(session: Session, now: datetime) -> list[Aged]:
    return [_aged(msn, "restored", since, now) for msn, since in recovering_since(session)]


def _unregistered(session: Session, now: datetime) -> list[Aged]:
    column = table_of(Registration).c
    found = (
        sa.select(column.msn, sa.func.min(column.missing_since))
        .where(column.missing_since.is_not(None), column.retired_at.is_(None))
        .group_by(column.msn)
        .order_by(column.msn)
    )
    return [_aged(msn, "missing", since, now) for msn, since in session.execute(found)]


def _aged(msn: str, kind: str, since: datetime, now: datetime) -> Aged:
    return Aged(msn, kind, max(0.0, (now - since).total_seconds()))


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
