"""What the overview counts, for one sales unit."""

import time as real_time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlmodel import Session, col

from service.console.attention import Attention, needs_attention
from service.console.days import Day, Days, midnight, time_zone_of
from service.metrics.figures import AtRisk, money_at_risk
from service.store.tables import Event, Invoice, SalesUnit, Transition
from statemachine import State

__all__ = ["Figures", "Overview", "Pile", "time_zone_of"]

# Only what is counted through is remembered, and only where it is long: a million invoices
# behind a page that ten people keep open are not counted ten times each second.
_SLOW_S = 0.05
_REMEMBERED_TIMES = 20


@dataclass(frozen=True, slots=True)
class Pile:
    """How many invoices are in a state, and how much money that is, in minor units."""

    count: int = 0
    amount_minor: int = 0


Piles = dict[State, Pile]


@dataclass(frozen=True, slots=True)
class Overview:
    """One sales unit at one moment."""

    piles: Piles
    today: dict[tuple[str | None, str], int]
    days: Sequence[Day]
    at_risk: Sequence[AtRisk]
    attention: Attention


class Figures:
    """Counts, and remembers for a while what took long."""

    def __init__(self) -> None:
        """Start with nothing remembered."""
        self._days = Days()
        self._piles: dict[str, tuple[float, Piles]] = {}

    def overview(self, session: Session, unit: SalesUnit, now: datetime) -> Overview:
        """Return everything that the overview shows; `now` is business time."""
        return Overview(
            piles=self._piles_of(session, unit.msn),
            today=_today(session, unit, now),
            days=self._days.last(session, unit, now),
            at_risk=money_at_risk(session, unit.msn),
            attention=needs_attention(session, unit, now=now),
        )

    def _piles_of(self, session: Session, msn: str) -> Piles:
        begun = real_time.monotonic()
        until, piles = self._piles.get(msn, (0.0, {}))
        if begun < until:
            return piles
        piles = _piles(session, msn)
        took_s = real_time.monotonic() - begun
        if took_s > _SLOW_S:
            self._piles[msn] = begun + took_s * _REMEMBERED_TIMES, piles
        return piles


def _piles(session: Session, msn: str) -> Piles:
    # What is taken counts as what is left of it; what is not yet taken, as what is owed.
    is_taken = col(Invoice.state).in_([State.CAPTURED, State.REFUNDED])
    left = sa.func.sum(col(Invoice.captured_minor) - col(Invoice.refunded_minor))
    counted = (
        sa.select(
            col(Invoice.state),
            sa.func.count(),
            sa.case((is_taken, left), else_=sa.func.sum(col(Invoice.amount_minor))),
        )
        .where(col(Invoice.msn) == msn)
        .group_by(col(Invoice.state))
    )
    return {State(s): Pile(n, int(minor)) for s, n, minor in session.execute(counted)}


def _today(session: Session, unit: SalesUnit, now: datetime) -> dict[tuple[str | None, str], int]:
    zone = ZoneInfo(time_zone_of(unit))
    begin = midnight(now.astimezone(zone).date(), zone)
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
