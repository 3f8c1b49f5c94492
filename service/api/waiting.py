"""`?wait=`: hold an answer until Vipps has done what was asked, at most so long."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, col

from service.awaiting import first_true
from service.context import Context
from service.kinds import CommandKind
from service.store.inserts import table_of
from service.store.statements import Selection, listed
from service.store.tables import (
    LIVE_PAYMENT_STATES,
    OPEN_STATUSES,
    Command,
    CommandStatus,
    Invoice,
    InvoiceRecord,
    Payment,
)

# The two that change nothing a merchant waits for.
_BESIDE = (CommandKind.READ_PAYMENT, CommandKind.ATTACH_CATEGORY)

_command, _payment = table_of(Command).c, table_of(Payment).c
_UNDER_WAY = Selection(
    (_command.id,),
    key=_command.invoice_id,
    also=f"status IN {listed(OPEN_STATUSES)} AND kind NOT IN {listed(_BESIDE)}",
)
_BEING_REPLACED = Selection(
    (_payment.id,),
    key=_payment.invoice_id,
    also=f"state IN {listed(LIVE_PAYMENT_STATES)} AND replacement_flow IS NOT NULL",
)


@dataclass(frozen=True, slots=True)
class Watch:
    """An invoice as a request has left it, and the commands that the request decided."""

    invoice_id: str
    sequence: int
    problem: dict[str, Any] | None
    command_ids: tuple[str, ...]


def is_under_way(session: Session, invoice: InvoiceRecord) -> bool:
    """Tell whether Vipps has yet to answer something about the invoice."""
    return (
        invoice.closing is not None
        or _has_command(session, invoice.id)
        or (_is_being_replaced(session, invoice.id))
    )


async def until_settled(context: Context, watch: Watch, *, wait_s: float) -> bool:
    """Return True once the request's outcome stands, False when the time is up."""
    settled = await first_true(context, partial(_is_settled, context, watch), wait_s=wait_s)
    return settled is not None


def _is_settled(context: Context, watch: Watch) -> bool:
    with context.database.snapshot() as session:
        invoice = session.get_one(Invoice, watch.invoice_id)
        if invoice.problem is not None and invoice.problem != watch.problem:
            return True
        if is_under_way(session, invoice):
            return False
        # The answer to a capture moves nothing: its entry in Vipps's log does, a moment later.
        return invoice.sequence > watch.sequence or _has_failed(session, watch)


def _has_command(session: Session, invoice_id: str) -> bool:
    return bool(_UNDER_WAY.rows(session, [invoice_id]))


def _is_being_replaced(session: Session, invoice_id: str) -> bool:
    return bool(_BEING_REPLACED.rows(session, [invoice_id]))


def _has_failed(session: Session, watch: Watch) -> bool:
    failed = sa.select(col(Command.id)).where(
        col(Command.id).in_(watch.command_ids),
        col(Command.status).in_((CommandStatus.FAILED, CommandStatus.DROPPED)),
        col(Command.kind).not_in(_BESIDE),
    )
    return session.execute(failed.limit(1)).first() is not None
