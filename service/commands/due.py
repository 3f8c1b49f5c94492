"""Which commands go to Vipps now: due, first in their payment's line, and within its limits."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session

from service.kinds import CommandKind
from service.store.inserts import table_of
from service.store.tables import (
    OPEN_STATUSES,
    Command,
    CommandAttempt,
    CommandStatus,
    Invoice,
    Payment,
    SalesUnit,
    Unread,
)

# Vipps: 5 writes of a kind and 120 reads a minute per reference (facts, section 1). A read
# of ours is two calls, and people may look at the payment in the meantime. Vipps counts from
# the call's arrival, which is up to ten seconds after its try has begun.
RATE_WINDOW = timedelta(seconds=70)
WRITES_MAX = 5
READS_MAX = 40

# As text and not as parameters: only then does SQLite see that the partial indexes hold what
# is asked for, instead of reading every command there ever was.
_OPEN: tuple[sa.ColumnElement[str], ...] = tuple(
    sa.literal_column(f"'{status}'") for status in OPEN_STATUSES
)

Row = sa.Row[Any]


def due(session: Session, now: datetime, *, later: datetime, limit: int) -> Sequence[Row]:
    """Return up to `limit` commands that may go now, locked, with what their calls need.

    What waits is due by `later`; a lease ends by `now`, the clock of all."""
    # On SQLite, BEGIN IMMEDIATE has kept every other claimer out.
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    given = {
        "now": now,
        "later": later,
        "at_most": limit,
        "counted_from": now - RATE_WINDOW,
        "counted_until": now + RATE_WINDOW,
    }
    return session.execute(_DUE if is_sqlite else _DUE_AND_LOCKED, given).all()


def next_at(session: Session) -> datetime | None:
    """Return when the next command is due, or the next lease ends; None where none is open."""
    first: datetime | None = session.scalars(_NEXT).one()
    return first


def _instant(name: str) -> sa.BindParameter[datetime]:
    return sa.bindparam(name, type_=table_of(Command).c.next_attempt_at.type)


def _has_unread() -> sa.Exists:
    """Tell whether anything of the sales unit is unread: nearly always there is nothing."""
    return sa.exists().where(table_of(Unread).c.msn == table_of(Command).c.msn)


def _is_its_turn() -> sa.ColumnElement[bool]:
    """Tell what goes to Vipps of an invoice of which something is unread.

    Nothing before its payments are known (see `seeking`), and then the chain in its own order: of
    two payments of which we know neither's end, one could seem to live."""
    command, payment, unread = table_of(Command).c, table_of(Payment).c, table_of(Unread).c
    before = table_of(Payment).alias("payment_before").c
    is_unsought = sa.exists().where(unread.id == command.invoice_id)
    has_one_before = sa.exists().where(
        before.invoice_id == command.invoice_id,
        before.attempt < payment.attempt,
        before.id == unread.id,
    )
    return sa.and_(~is_unsought, ~has_one_before)


def _has_one_before() -> sa.Exists:
    """Tell whether an earlier command of the same payment is not settled yet."""
    command, before = table_of(Command), table_of(Command).alias("before")
    return sa.exists().where(
        command.c.is_serial,
        before.c.is_serial,
        before.c.payment_id == command.c.payment_id,
        before.c.number < command.c.number,
        before.c.status.in_(_OPEN),
    )


def _calls_so_far() -> sa.ScalarSelect[int]:
    command, tried = table_of(Command).c, table_of(CommandAttempt).c
    return (
        sa.select(sa.func.count())
        .where(
            tried.payment_id == command.payment_id,
            tried.kind == command.kind,
            tried.started_at > _instant("counted_from"),
            # Those beyond began under a clock that ran ahead, and was put right.
            tried.started_at < _instant("counted_until"),
        )
        .correlate(table_of(Command))
        .scalar_subquery()
    )


def _calls_max() -> sa.Case[int]:
    is_read = table_of(Command).c.kind == CommandKind.READ_PAYMENT
    return sa.case((is_read, READS_MAX), else_=WRITES_MAX)


def _due() -> sa.Select[Any]:
    command, payment = table_of(Command).c, table_of(Payment).c
    invoice, unit = table_of(Invoice).c, table_of(SalesUnit).c
    now = _instant("now")
    return (
        sa.select(
            *command,
            payment.reference,
            sa.and_(payment.sharing.is_not(None), payment.shared_at.is_(None)).label(
                "awaits_number"
            ),
            invoice.currency,
            invoice.amount_minor.label("invoice_amount_minor"),
            invoice.customer_id,
            invoice.state.label("invoice_state"),
            invoice.closing,
            invoice.payable_until,
            payment.replacement_flow,
            payment.ends_at,
            unit.vipps_keys,
            sa.exists().where(table_of(Unread).c.id == payment.id).label("is_unread"),
        )
        .join_from(table_of(Command), table_of(Payment), command.payment_id == payment.id)
        .join(table_of(Invoice), command.invoice_id == invoice.id)
        .join(table_of(SalesUnit), command.msn == unit.msn)
        .where(
            command.status.in_(_OPEN),
            command.next_attempt_at <= _instant("later"),
            sa.or_(command.next_attempt_at <= now, command.status == CommandStatus.WAITING),
            sa.or_(unit.held_until.is_(None), unit.held_until <= now),
            unit.vipps_keys.is_not(None),
            sa.or_(unit.recovering_since.is_(None), command.kind == CommandKind.READ_PAYMENT),
            sa.or_(~_has_unread(), _is_its_turn()),
            ~_has_one_before(),
            _calls_so_far() < _calls_max(),
        )
        .order_by(command.next_attempt_at)
        .limit(sa.bindparam("at_most", type_=sa.Integer))
    )


# Made once: to make one takes longer than to run it.
_DUE = _due()
_DUE_AND_LOCKED = _DUE.with_for_update(skip_locked=True, of=table_of(Command))
_NEXT = sa.select(sa.func.min(table_of(Command).c.next_attempt_at)).where(
    table_of(Command).c.status.in_(_OPEN)
)
