"""What the overview counts, each in one statement and for one sales unit."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlmodel import Session, col

from service.metrics.figures import AtRisk, money_at_risk
from service.settings import TIME_ZONES
from service.store.tables import (
    Event,
    Invoice,
    Registration,
    SalesUnit,
    Subscription,
    SubscriptionStatus,
    Transition,
)
from statemachine import State

_DAYS = 14
_SHOWN_AT_MOST = 8


@dataclass(frozen=True, slots=True)
class Pile:
    """How many invoices are in a state, and how much money that is, in minor units."""

    count: int = 0
    amount_minor: int = 0


@dataclass(frozen=True, slots=True)
class Day:
    """One day's invoices: made, approved, taken."""

    day: date
    created: int
    authorized: int
    captured: int


@dataclass(frozen=True, slots=True)
class Worry:
    """An invoice that somebody should look at, and why."""

    reference: str
    state: str
    code: str


@dataclass(frozen=True, slots=True)
class Overview:
    """One sales unit at one moment."""

    piles: dict[State, Pile]
    today: dict[tuple[str | None, str], int]
    days: Sequence[Day]
    at_risk: Sequence[AtRisk]
    worries: Sequence[Worry]
    worry_count: int
    troubled_subscriptions: Sequence[Subscription]
    is_registered: bool
    held_because: str | None


def overview(session: Session, unit: SalesUnit, *, now: datetime) -> Overview:
    """Return everything that the overview shows."""
    worries, worry_count = _worries(session, unit.msn)
    return Overview(
        piles=_piles(session, unit.msn),
        today=_today(session, unit, now),
        days=_days(session, unit, now),
        at_risk=money_at_risk(session, unit.msn),
        worries=worries,
        worry_count=worry_count,
        troubled_subscriptions=_troubled(session, unit.msn),
        is_registered=_is_registered(session, unit.msn),
        held_because=unit.held_because if unit.held_since else None,
    )


def time_zone_of(unit: SalesUnit) -> str:
    """Return the time zone in which this sales unit's days begin and end."""
    return TIME_ZONES[unit.currency]


def _piles(session: Session, msn: str) -> dict[State, Pile]:
    # What is taken counts as what is left of it; what is not yet taken, as what is owed.
    shown = sa.case(
        (
            col(Invoice.state).in_([State.CAPTURED, State.REFUNDED]),
            col(Invoice.captured_minor) - col(Invoice.refunded_minor),
        ),
        else_=col(Invoice.amount_minor),
    )
    counted = (
        sa.select(col(Invoice.state), sa.func.count(), sa.func.sum(shown))
        .where(col(Invoice.msn) == msn)
        .group_by(col(Invoice.state))
    )
    return {State(s): Pile(n, int(minor)) for s, n, minor in session.execute(counted)}


def _today(session: Session, unit: SalesUnit, now: datetime) -> dict[tuple[str | None, str], int]:
    begin = _midnight(unit, now)
    counted = (
        sa.select(col(Transition.from_state), col(Transition.to_state), sa.func.count())
        .join(
            Event,
            sa.and_(
                col(Event.invoice_id) == col(Transition.invoice_id),
                col(Event.sequence) == col(Transition.sequence),
                col(Event.is_transition),
            ),
        )
        .where(col(Event.msn) == unit.msn, col(Event.recorded_at) >= begin)
        .group_by(col(Transition.from_state), col(Transition.to_state))
    )
    return {(start, end): count for start, end, count in session.execute(counted)}


def _days(session: Session, unit: SalesUnit, now: datetime) -> list[Day]:
    """Return the last two weeks. Days are the sales unit's, also where its clock changes."""
    zone = ZoneInfo(time_zone_of(unit))
    today = now.astimezone(zone).date()
    days = [today - timedelta(days=back) for back in reversed(range(_DAYS))]
    begins = [datetime.combine(day, time(), zone) for day in (*days, today + timedelta(days=1))]
    told = {"invoice.created": 0, "invoice.authorized": 1, "invoice.captured": 2}
    slot = sa.case(
        *((col(Event.recorded_at) < end, n) for n, end in enumerate(begins[1:])), else_=_DAYS - 1
    )
    counted = (
        sa.select(slot, col(Event.type), sa.func.count())
        .where(
            col(Event.msn) == unit.msn,
            col(Event.recorded_at) >= begins[0],
            col(Event.type).in_(told),
            col(Event.is_transition),
        )
        .group_by(slot, col(Event.type))
    )
    counts = [[0, 0, 0] for _ in days]
    for n, type_, count in session.execute(counted):
        counts[n][told[type_]] = count
    return [Day(day, *counts[n]) for n, day in enumerate(days)]


def _worries(session: Session, msn: str) -> tuple[list[Worry], int]:
    troubled = [col(Invoice.msn) == msn, col(Invoice.problem).is_not(None)]
    shown = (
        sa.select(col(Invoice.reference), col(Invoice.state), col(Invoice.problem))
        .where(*troubled)
        .order_by(col(Invoice.id).desc())
        .limit(_SHOWN_AT_MOST)
    )
    worries = [Worry(ref, state, _code(problem)) for ref, state, problem in session.execute(shown)]
    counted = sa.select(sa.func.count()).select_from(Invoice).where(*troubled)
    return worries, session.execute(counted).scalar_one()


def _code(problem: dict[str, Any]) -> str:
    return str(problem.get("title") or problem.get("code") or "problem")


def _troubled(session: Session, msn: str) -> Sequence[Subscription]:
    well = (SubscriptionStatus.HEALTHY, SubscriptionStatus.UNVERIFIED)
    troubled = sa.select(Subscription).where(
        col(Subscription.msn) == msn,
        col(Subscription.status).not_in(well),
        col(Subscription.deleted_at).is_(None),
    )
    return session.scalars(troubled.order_by(col(Subscription.id)).limit(_SHOWN_AT_MOST)).all()


def _is_registered(session: Session, msn: str) -> bool:
    live = sa.select(col(Registration.id)).where(
        col(Registration.msn) == msn,
        col(Registration.retired_at).is_(None),
        col(Registration.missing_since).is_(None),
    )
    return session.execute(live.limit(1)).first() is not None


def _midnight(unit: SalesUnit, now: datetime) -> datetime:
    zone = ZoneInfo(time_zone_of(unit))
    return datetime.combine(now.astimezone(zone).date(), time(), zone)
