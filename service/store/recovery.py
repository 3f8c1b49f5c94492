"""Recovery: what was restored sends nothing until it knows what Vipps did since (threats F23).

The mark is `recovering_since` of a sales unit. What leaves this service asks for it in the very
statement that takes it in hand: a command to Vipps (but for reads), a delivery, an event for the
broker. The mark is set in one transaction with the list of what has to be read, and goes once that
list is empty.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlmodel import Session

from service.store.inserts import table_of
from service.store.statements import insert_or_leave
from service.store.tables import Invoice, Payment, SalesUnit, Unread
from statemachine import PaymentState, State

_unit, _unread = table_of(SalesUnit), table_of(Unread)
_invoice, _payment = table_of(Invoice), table_of(Payment)

# To stand in `msn NOT IN (…)`.
RECOVERING = sa.select(_unit.c.msn).where(_unit.c.recovering_since.is_not(None))

# Payable, or to be reopened: only these get another payment.
_GOES_ON = (
    *(state for state in State if state.is_payable),
    *(State.ABORTED, State.EXPIRED, State.FAILED),
)
# Vipps changes nothing of these any more.
_ENDED = (
    PaymentState.ABORTED,
    PaymentState.EXPIRED,
    PaymentState.TERMINATED,
    PaymentState.REFUSED,
)


@dataclass(frozen=True, slots=True)
class Recovery:
    """A sales unit that was restored, and how much it has still to read at Vipps."""

    msn: str
    since: datetime
    left_to_read: int


def begin_recovery(session: Session, *, now: datetime, msn: str = "") -> None:
    """Put a sales unit, or every one, into recovery: all that may have changed is to be read."""

    def of(table: sa.Table) -> sa.ColumnElement[bool]:
        return table.c.msn == msn if msn else sa.true()

    if session.get_bind().dialect.name != "sqlite":
        # Years of payments take longer than a request may.
        session.execute(sa.text("SET LOCAL statement_timeout = 0"))
    session.execute(sa.update(_unit).where(of(_unit)).values(recovering_since=now))
    session.execute(sa.delete(_unread).where(of(_unread)))
    column = _payment.c
    payments = sa.select(column.id, column.msn).where(of(_payment), _may_have_changed())
    # Whose next payment may have been made since: it has to be looked for.
    column = _invoice.c
    invoices = sa.select(column.id, column.msn).where(of(_invoice), column.state.in_(_GOES_ON))
    for to_read in (payments, invoices):
        session.execute(sa.insert(_unread).from_select(["id", "msn"], to_read))


def add_unread(session: Session, key: str, msn: str) -> None:
    """Have one more read before anything else is sent for its invoice, or its recovery ends."""
    insert_or_leave(session, Unread, {"id": key, "msn": msn})


def _may_have_changed() -> sa.ColumnElement[bool]:
    """Tell whether Vipps could have moved a payment: alive, or with money to take or give back."""
    column = _payment.c
    is_taken = column.captured_minor + column.cancelled_minor == column.authorized_minor
    is_given_back = column.refunded_minor == column.captured_minor
    is_over = sa.and_(column.state == PaymentState.AUTHORIZED, is_taken, is_given_back)
    return sa.and_(column.state.not_in(_ENDED), sa.not_(is_over))


def were_read(session: Session, ids: Collection[str]) -> None:
    """Note that these were read at Vipps since the recovery began."""
    if ids:
        session.execute(sa.delete(_unread).where(_unread.c.id.in_(sorted(ids))))


def recovering_since(session: Session) -> list[tuple[str, datetime]]:
    """Return the MSNs of the sales units that are in recovery, and since when, by MSN."""
    marked = sa.select(_unit.c.msn, _unit.c.recovering_since).where(
        _unit.c.recovering_since.is_not(None)
    )
    return [(msn, since) for msn, since in session.execute(marked.order_by(_unit.c.msn))]


def to_be_read(session: Session) -> list[tuple[str, datetime | None]]:
    """Return the MSNs of which something is unread, and since when they recover, if they do."""
    has_unread = sa.exists().where(_unread.c.msn == _unit.c.msn)
    wanted = sa.select(_unit.c.msn, _unit.c.recovering_since).where(
        sa.or_(_unit.c.recovering_since.is_not(None), has_unread)
    )
    return [(msn, since) for msn, since in session.execute(wanted.order_by(_unit.c.msn))]


def recoveries(session: Session) -> list[Recovery]:
    """Return the sales units that are in recovery, by MSN."""
    left = sa.select(sa.func.count()).select_from(_unread).where(_unread.c.msn == _unit.c.msn)
    marked = (
        sa.select(_unit.c.msn, _unit.c.recovering_since, left.scalar_subquery())
        .where(_unit.c.recovering_since.is_not(None))
        .order_by(_unit.c.msn)
    )
    return [Recovery(msn, since, count) for msn, since, count in session.execute(marked)]


def end_recovery_if_read(session: Session, msn: str, *, since: datetime) -> bool:
    """Let a sales unit send again that has nothing left to read; tell whether it may.

    `since`: the recovery that was looked at. One that has just begun anew goes on."""
    ended = (
        sa.update(_unit)
        .where(
            _unit.c.msn == msn,
            _unit.c.recovering_since == since,
            ~sa.exists().where(_unread.c.msn == msn),
        )
        .values(recovering_since=None)
        .returning(_unit.c.msn)
    )
    return session.execute(ended).first() is not None


def end_recovery(session: Session, msn: str) -> None:
    """Let a sales unit send again, whatever of it was not read."""
    session.execute(sa.delete(_unread).where(_unread.c.msn == msn))
    session.execute(sa.update(_unit).where(_unit.c.msn == msn).values(recovering_since=None))
