"""Two weeks, day by day: what was made, approved and taken, and how long people took to pay.

A day that is over does not change: it is counted once, and then remembered by this process.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from statistics import median, quantiles
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlmodel import Session, col

from service.settings import TIME_ZONES
from service.store.tables import Event, SalesUnit, Transition
from statemachine import State

DAYS = 14

# Enough for a median that tells something, and no more than some milliseconds a day.
_ASKED_MAX = 400
# What was recorded at the end of a day is committed by then.
_IS_OVER_AFTER = timedelta(minutes=10)
_TYPES = ("invoice.created", "invoice.authorized", "invoice.captured")


@dataclass(frozen=True, slots=True)
class Day:
    """One day's invoices, and the time from the first push to the approval, in seconds.

    Half took at most `usual_s`, nine in ten at most `most_s`; None where nobody approved."""

    day: date
    created: int
    authorized: int
    captured: int
    usual_s: float | None = None
    most_s: float | None = None


class Days:
    """Counts days, and remembers those that are over."""

    def __init__(self) -> None:
        """Start with nothing remembered."""
        self._known: dict[tuple[str, date], Day] = {}

    def last(self, session: Session, unit: SalesUnit, now: datetime) -> list[Day]:
        """Return the last two weeks. Days are the sales unit's, also where its clock changes."""
        zone = ZoneInfo(time_zone_of(unit))
        today = now.astimezone(zone).date()
        days = [today - timedelta(days=back) for back in reversed(range(DAYS))]
        shown = [self._day(session, unit.msn, day, zone=zone, now=now) for day in days]
        self._known = {key: day for key, day in self._known.items() if key[1] >= days[0]}
        return shown

    def _day(self, session: Session, msn: str, day: date, *, zone: ZoneInfo, now: datetime) -> Day:
        known = self._known.get((msn, day))
        if known is not None:
            return known
        begin, end = midnight(day, zone), midnight(day + timedelta(days=1), zone)
        created, authorized, captured = _counts(session, msn, begin, end)
        usual_s, most_s = _paces(session, msn, begin, end)
        counted = Day(day, created, authorized, captured, usual_s, most_s)
        if now >= end + _IS_OVER_AFTER:
            self._known[msn, day] = counted
        return counted


def time_zone_of(unit: SalesUnit) -> str:
    """Return the time zone in which this sales unit's days begin and end."""
    return TIME_ZONES[unit.currency]


def midnight(day: date, zone: ZoneInfo) -> datetime:
    """Return the instant at which a day begins."""
    return datetime.combine(day, time(), zone)


def _told(msn: str, begin: datetime, end: datetime) -> list[sa.ColumnExpressionArgument[bool]]:
    return [
        col(Event.msn) == msn,
        col(Event.recorded_at) >= begin,
        col(Event.recorded_at) < end,
        col(Event.is_transition),
    ]


def _counts(session: Session, msn: str, begin: datetime, end: datetime) -> list[int]:
    counted = (
        sa.select(col(Event.type), sa.func.count())
        .where(*_told(msn, begin, end), col(Event.type).in_(_TYPES))
        .group_by(col(Event.type))
    )
    counts = {type_: count for type_, count in session.execute(counted)}
    return [counts.get(type_, 0) for type_ in _TYPES]


def _paces(
    session: Session, msn: str, begin: datetime, end: datetime
) -> tuple[float | None, float | None]:
    """Return the median and the ninth decile of the last approvals of a day."""
    approved = (
        sa.select(col(Event.invoice_id))
        .where(*_told(msn, begin, end), col(Event.type) == "invoice.authorized")
        .order_by(col(Event.recorded_at).desc())
        .limit(_ASKED_MAX)
        .subquery()
    )
    reached = (
        sa.select(
            col(Transition.invoice_id),
            col(Transition.to_state),
            sa.func.min(col(Transition.occurred_at), type_=sa.DateTime(timezone=True)),
        )
        .join(approved, approved.c.invoice_id == col(Transition.invoice_id))
        .where(col(Transition.to_state).in_([State.PUSHED, State.AUTHORIZED]))
        .group_by(col(Transition.invoice_id), col(Transition.to_state))
    )
    at: dict[str, dict[str, datetime]] = {}
    for invoice_id, state, first in session.execute(reached):
        at.setdefault(invoice_id, {})[state] = first
    return _middle_and_most(
        [
            max((each[State.AUTHORIZED] - each[State.PUSHED]).total_seconds(), 0.0)
            for each in at.values()
            if len(each) == 2
        ]
    )


def _middle_and_most(taken_s: Sequence[float]) -> tuple[float | None, float | None]:
    if not taken_s:
        return None, None
    most_s = quantiles(taken_s, n=10)[-1] if len(taken_s) > 1 else taken_s[0]
    return median(taken_s), min(most_s, max(taken_s))
