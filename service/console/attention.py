"""What needs somebody: each kind found by an index of its own, since all of it is rare."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, col

from service.store.tables import (
    Delivery,
    Invoice,
    RefundRequest,
    Registration,
    SalesUnit,
    StoredVippsEvent,
    Subscription,
    SubscriptionStatus,
)
from service.store.tables.invoices import WARNED

_SHOWN_AT_MOST = 8
# So far back contradictions and what only reads have brought are counted.
LOOKED_BACK = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Worry:
    """An invoice that somebody should look at, and why."""

    reference: str
    state: str
    code: str


@dataclass(frozen=True, slots=True)
class RunningOut:
    """A reservation that is lost unless it is captured in time."""

    reference: str
    percent: int
    until: datetime | None
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Attention:
    """Everything that needs somebody; what is empty is well."""

    worries: Sequence[Worry]
    worry_count: int
    running_out: Sequence[RunningOut]
    refused: Sequence[Any]
    waiting_refunds: Sequence[Any]
    troubled_subscriptions: Sequence[Subscription]
    failed_deliveries: int
    healed: int
    is_registered: bool
    held_because: str | None
    recovering_since: datetime | None

    @property
    def count(self) -> int:
        """Return how many things there are to look at."""
        return (
            self.worry_count
            + len(self.running_out)
            + len(self.refused)
            + len(self.waiting_refunds)
            + len(self.troubled_subscriptions)
        )


def needs_attention(session: Session, unit: SalesUnit, *, now: datetime) -> Attention:
    """Return what needs somebody in a sales unit; `now` is business time."""
    msn = unit.msn
    worries, worry_count = _worries(session, msn)
    return Attention(
        worries=worries,
        worry_count=worry_count,
        running_out=_running_out(session, msn),
        refused=_refused(session, msn, now - LOOKED_BACK),
        waiting_refunds=_waiting_refunds(session, msn),
        troubled_subscriptions=_troubled(session, msn),
        failed_deliveries=_failed_deliveries(session, msn),
        healed=_healed(session, msn, now - LOOKED_BACK),
        is_registered=_is_registered(session, msn),
        held_because=unit.held_because if unit.held_since else None,
        recovering_since=unit.recovering_since,
    )


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


def _running_out(session: Session, msn: str) -> list[RunningOut]:
    rest = (
        col(Invoice.authorized_minor) - col(Invoice.captured_minor) - col(Invoice.cancelled_minor)
    )
    warned = (
        sa.select(
            col(Invoice.reference),
            col(Invoice.warned_percent),
            col(Invoice.capture_guaranteed_until),
            rest,
        )
        # As text: only then does SQLite see that the partial index holds what is asked for.
        .where(col(Invoice.msn) == msn, sa.text(WARNED), rest > 0)
        .order_by(col(Invoice.warned_percent).desc())
        .limit(_SHOWN_AT_MOST)
    )
    return [RunningOut(*row) for row in session.execute(warned)]


def _refused(session: Session, msn: str, since: datetime) -> Sequence[Any]:
    event = StoredVippsEvent
    contradictions = (
        sa.select(col(event.name), col(event.reason), col(Invoice.reference))
        .join_from(event, Invoice, col(Invoice.id) == col(event.invoice_id), isouter=True)
        .where(
            col(event.msn) == msn,
            sa.text("vipps_event.outcome = 'refused'"),
            col(event.received_at) >= since,
        )
    )
    newest = contradictions.order_by(col(event.received_at).desc())
    return session.execute(newest.limit(_SHOWN_AT_MOST)).all()


def _healed(session: Session, msn: str, since: datetime) -> int:
    event = StoredVippsEvent
    brought = sa.select(sa.func.count()).where(
        col(event.msn) == msn,
        sa.text("vipps_event.source = 'poll' AND vipps_event.outcome = 'applied'"),
        col(event.received_at) >= since,
    )
    return int(session.execute(brought.select_from(event)).scalar_one())


def _waiting_refunds(session: Session, msn: str) -> Sequence[Any]:
    waiting = (
        sa.select(col(Invoice.reference), col(RefundRequest.amount_minor))
        .join_from(RefundRequest, Invoice, col(Invoice.id) == col(RefundRequest.invoice_id))
        .where(col(RefundRequest.msn) == msn, sa.text("refund_request.decided_at IS NULL"))
    )
    oldest = waiting.order_by(col(RefundRequest.id))
    return session.execute(oldest.limit(_SHOWN_AT_MOST)).all()


def _troubled(session: Session, msn: str) -> Sequence[Subscription]:
    well = (SubscriptionStatus.HEALTHY, SubscriptionStatus.UNVERIFIED)
    troubled = sa.select(Subscription).where(
        col(Subscription.msn) == msn,
        col(Subscription.status).not_in(well),
        col(Subscription.deleted_at).is_(None),
    )
    return session.scalars(troubled.order_by(col(Subscription.id)).limit(_SHOWN_AT_MOST)).all()


def _failed_deliveries(session: Session, msn: str) -> int:
    failed = sa.select(sa.func.count()).where(
        col(Delivery.msn) == msn, sa.text("delivery.status = 'failed'")
    )
    return int(session.execute(failed.select_from(Delivery)).scalar_one())


def _is_registered(session: Session, msn: str) -> bool:
    live = sa.select(col(Registration.id)).where(
        col(Registration.msn) == msn,
        col(Registration.retired_at).is_(None),
        col(Registration.missing_since).is_(None),
    )
    return session.execute(live.limit(1)).first() is not None
