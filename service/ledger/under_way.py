"""What was decided about an invoice's money and is not in its sums yet."""

import orjson
import sqlalchemy as sa
from sqlmodel import col

from service.kinds import CommandKind
from service.ledger.book import Book
from service.store.tables import Command, InvoiceRecord, StoredVippsEvent
from statemachine import Outcome, VippsEventName

_MONEY = (CommandKind.CAPTURE, CommandKind.REFUND)


def under_way(book: Book, invoice: InvoiceRecord) -> list[Command]:
    """Return the open commands about the invoice's money, those in its sums left out.

    Not those of another payment of its chain, and not the withdrawal of a request that the
    customer has approved meanwhile: it will find nothing to withdraw."""
    found = [
        command
        for command in book.open_commands(invoice)
        if command.payment_id == invoice.authorized_by and command.body is None
    ]
    # A webhook may tell of a capture before the answer to it is settled: it would count twice.
    is_tried = any(command.kind in _MONEY and command.attempts for command in found)
    counted = _keys_in_the_sums(book, invoice) if is_tried else frozenset()
    return [command for command in found if command.idempotency_key not in counted]


def total_minor(commands: list[Command], kind: CommandKind) -> int:
    """Return how much these commands move together."""
    return sum(command.amount_minor or 0 for command in commands if command.kind == kind)


def _keys_in_the_sums(book: Book, invoice: InvoiceRecord) -> frozenset[str]:
    """Return the idempotency keys of the captures and refunds that were applied."""
    applied = sa.select(col(StoredVippsEvent.id), col(StoredVippsEvent.raw)).where(
        col(StoredVippsEvent.invoice_id) == invoice.id,
        col(StoredVippsEvent.payment_id) == invoice.authorized_by,
        col(StoredVippsEvent.outcome) == Outcome.APPLIED,
        col(StoredVippsEvent.name).in_((VippsEventName.CAPTURED, VippsEventName.REFUNDED)),
    )
    # What has no body any more is older than any command that is open.
    rows = [row for row in book.session.execute(applied).all() if row.raw]
    said = (book.vault.open(raw, place=f"vipps_event:{key}:raw") for key, raw in rows)
    return frozenset(str(orjson.loads(raw).get("idempotencyKey")) for raw in said)
