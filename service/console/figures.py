"""What the overview counts through: the piles, today's ways, two weeks.

Beside a million invoices that takes longer than a page may, so it is counted in a thread of its
own, one count at a time. A page waits a moment for it; after that it shows the last figures there
are, says of when they are, and asks again.
"""

import threading
import time as real_time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlmodel import Session, col

from service.console.days import Day, Days, midnight, time_zone_of
from service.context import Context
from service.store.tables import Event, Invoice, SalesUnit, Transition
from statemachine import State

__all__ = ["Counted", "Figures", "Pile", "time_zone_of"]

# Less than a page may take by far, more than a small merchant's figures need.
_WAIT_S = 0.15
# What takes long to count is counted seldom: at most a twentieth of the time.
_SLOW_S = 0.05
_REMEMBERED_TIMES = 20


@dataclass(frozen=True, slots=True)
class Pile:
    """How many invoices are in a state, and how much money that is, in minor units."""

    count: int = 0
    amount_minor: int = 0


@dataclass(frozen=True, slots=True)
class Counted:
    """One sales unit's figures, as they were at `at`; `good_until` is on the process's clock."""

    piles: dict[State, Pile]
    today: dict[tuple[str | None, str], int]
    days: Sequence[Day]
    at: datetime
    good_until: float


class Figures:
    """Counts beside the requests, and remembers for a while what took long."""

    def __init__(self, context: Context, *, wait_s: float = _WAIT_S) -> None:
        """Start with nothing counted; `wait_s` is how long a page waits for a count."""
        self._context = context
        self._wait_s = wait_s
        self._days = Days()
        self._last: dict[str, Counted] = {}
        self._running: dict[str, Future[Counted]] = {}
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="figures")

    def of(self, unit: SalesUnit) -> Counted | None:
        """Return the figures of now, or the last ones; None, where the first count goes on."""
        last = self._last.get(unit.msn)
        if last is not None and real_time.monotonic() < last.good_until:
            return last
        with self._lock:
            running = self._running.get(unit.msn)
            if running is None or running.done():
                running = self._running[unit.msn] = self._pool.submit(self._count, unit)
        try:
            return running.result(self._wait_s)
        except TimeoutError:
            return last

    def end(self) -> None:
        """Count nothing more: the process stops."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _count(self, unit: SalesUnit) -> Counted:
        begun, now = real_time.monotonic(), self._context.clock.business_now()
        with self._context.database.snapshot() as session:
            piles, today = _piles(session, unit.msn), _today(session, unit, now)
            days = self._days.last(session, unit, now)
        ended = real_time.monotonic()
        took_s = ended - begun
        remembered_s = took_s * _REMEMBERED_TIMES if took_s > _SLOW_S else 0.0
        counted = Counted(piles, today, days, now, ended + remembered_s)
        self._last[unit.msn] = counted
        return counted


def _piles(session: Session, msn: str) -> dict[State, Pile]:
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
