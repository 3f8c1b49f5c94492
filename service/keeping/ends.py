"""When an invoice is at an end, and everything of it known: before, nothing of it goes."""

from datetime import datetime

import sqlalchemy as sa

from service.store.inserts import table_of
from service.store.tables import LIVE_PAYMENT_STATES, OPEN_STATUSES, Command, Invoice, Payment
from statemachine import State

_invoice, _payment, _command = (table_of(each).c for each in (Invoice, Payment, Command))

_ENDS = (
    State.REFUNDED,
    State.CANCELLED,
    State.ABORTED,
    State.EXPIRED,
    State.TERMINATED,
    State.FAILED,
)


def ended_before(
    invoice_id: sa.ColumnElement[str | None], before: datetime
) -> sa.ColumnElement[bool]:
    """Return whether an invoice was at an end, and has not changed since before an instant.

    The age counts from its last change, so that a refund after years keeps the whole story. What
    is captured to the last øre is at an end; what is reserved is not. Nor is what a command is
    open for, a payment lives of, or a webhook has changed that no read has confirmed or that
    Vipps's own sums deny."""
    is_taken = sa.and_(
        _invoice.state == State.CAPTURED,
        _invoice.captured_minor + _invoice.cancelled_minor == _invoice.authorized_minor,
    )
    is_open = sa.exists().where(
        _command.invoice_id == _invoice.id, _command.status.in_(OPEN_STATUSES)
    )
    is_unsure = sa.exists().where(
        _payment.invoice_id == _invoice.id,
        sa.or_(
            _payment.state.in_(LIVE_PAYMENT_STATES),
            _payment.unconfirmed_since.is_not(None),
            _payment.drifting_reads > 0,
        ),
    )
    return sa.exists().where(
        _invoice.id == invoice_id,
        _invoice.updated_at < before,
        sa.or_(_invoice.state.in_(_ENDS), is_taken),
        ~is_open,
        ~is_unsure,
    )
