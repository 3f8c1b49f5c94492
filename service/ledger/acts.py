"""What a merchant asks of an invoice: each becomes a decision, a command, or a refusal.

Nothing here waits for Vipps: commands are rows, and the states that depend on Vipps move
when its events come (contract, section 4).
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlmodel import col

from service.errors import Conflict, FieldError, InvalidInput
from service.kinds import CommandKind
from service.ledger.book import Book, live_payment
from service.ledger.consequences import close_if_nothing_lives, withdraw_live
from service.ledger.invoices import require_ahead
from service.ledger.payments import start_payment
from service.ledger.resource import actions_of, amounts_of
from service.ledger.types import Ask, Evidence
from service.ledger.under_way import total_minor, under_way
from service.store.tables import Command, CommandStatus, InvoiceRecord, PaymentRecord
from statemachine import PaymentState, State, Trigger


def push(
    book: Book,
    invoice: InvoiceRecord,
    ask: Ask,
    *,
    user_flow: str | None = None,
    payable_until: datetime | None = None,
) -> None:
    """Ask the customer again; an ended invoice is reopened, a live payment replaced.

    Raises: Conflict, InvalidInput."""
    _require(invoice, "push")
    if invoice.closing is not None:
        raise Conflict("being_withdrawn", "the invoice is being withdrawn")
    evidence = book.record_act(invoice, "push", ask)
    _set_payable_until(book, invoice, payable_until)
    if not State(invoice.state).is_payable:
        _reopen(book, invoice, evidence)
    flow = user_flow or invoice.flow
    live = live_payment(book.payments(invoice))
    if live is None:
        start_payment(book, invoice, user_flow=flow, act_id=evidence.id)
    elif live.replacement_flow is None:
        live.replacement_flow = flow
        withdraw_live(book, invoice, act_id=evidence.id)
    else:
        live.replacement_flow = flow
        book.touch(invoice, live)


def soft_dismiss(book: Book, invoice: InvoiceRecord, ask: Ask) -> None:
    """Note that the customer postponed it. Raises: Conflict."""
    _require(invoice, "soft-dismiss")
    evidence = book.record_act(invoice, "soft-dismiss", ask)
    book.move(invoice, book.decide(invoice, Trigger.SOFT_DISMISS), evidence)


def cancel(book: Book, invoice: InvoiceRecord, ask: Ask) -> None:
    """Withdraw the invoice before authorization; after it, release what is reserved.

    Raises: Conflict, InvalidInput (an amount that is not all that remains)."""
    _require(invoice, "cancel")
    if not State(invoice.state).is_payable:
        _release(book, invoice, ask)
    elif invoice.closing is None:
        _withdraw(book, invoice, ask)


def capture(book: Book, invoice: InvoiceRecord, ask: Ask) -> None:
    """Take reserved money; no amount = all that remains. Raises: Conflict, InvalidInput."""
    _require(invoice, "capture")
    open_ones = under_way(book, invoice)
    if _is_being_released(invoice, open_ones):
        raise Conflict("being_released", "the reservation is being released")
    asked_for = total_minor(open_ones, CommandKind.CAPTURE)
    remaining = amounts_of(invoice).remaining_to_capture - asked_for
    _take(book, invoice, ask, CommandKind.CAPTURE, remaining)


def refund(book: Book, invoice: InvoiceRecord, ask: Ask) -> None:
    """Give captured money back; no amount = all that remains.

    Raises: Conflict, InvalidInput."""
    _require(invoice, "refund")
    open_ones = under_way(book, invoice)
    asked_for = total_minor(open_ones, CommandKind.REFUND)
    remaining = amounts_of(invoice).remaining_to_refund - asked_for
    _take(book, invoice, ask, CommandKind.REFUND, remaining)


def authorizing_payment(book: Book, invoice: InvoiceRecord) -> PaymentRecord:
    """Return the payment whose money the invoice's is. Raises: Conflict."""
    for payment in book.payments(invoice):
        if payment.id == invoice.authorized_by:
            return payment
    raise Conflict("not_authorized", "no payment has authorized this invoice")


def _require(invoice: InvoiceRecord, action: str) -> None:
    available = actions_of(invoice)
    if action not in available:
        detail = f"{action} is not possible while the invoice is {invoice.state}"
        raise Conflict("action_refused", detail, available_actions=available)


def _set_payable_until(book: Book, invoice: InvoiceRecord, payable_until: datetime | None) -> None:
    if payable_until is None:
        if State(invoice.state).is_payable or invoice.payable_until > book.now:
            return
        lifetime_s = book.sales_unit(invoice.msn).max_payment_lifetime_s
        payable_until = book.now + timedelta(seconds=lifetime_s)
    require_ahead(book, payable_until, due_date=invoice.due_date, currency=invoice.currency)
    invoice.payable_until = payable_until
    book.touch(invoice)


def _reopen(book: Book, invoice: InvoiceRecord, evidence: Evidence) -> None:
    decision = book.decide(invoice, Trigger.REOPEN, reopened_by_merchant=True)
    invoice.problem = None
    book.move(invoice, decision, evidence)


def _withdraw(book: Book, invoice: InvoiceRecord, ask: Ask) -> None:
    """Start to terminate; it is done at once where Vipps holds nothing of it."""
    if ask.amount_minor is not None and ask.amount_minor != invoice.amount_minor:
        raise InvalidInput(FieldError("amount", "cancel takes the whole amount"))
    evidence = book.record_act(invoice, "cancel", ask)
    invoice.closing = evidence.id
    book.touch(invoice)
    live = live_payment(book.payments(invoice))
    if live is not None and _was_never_tried(book, live):
        live.state = PaymentState.REFUSED
        book.touch(invoice, live)
    close_if_nothing_lives(book, invoice)
    if invoice.closing is not None and (live is None or live.replacement_flow is None):
        withdraw_live(book, invoice, act_id=evidence.id)


def _was_never_tried(book: Book, payment: PaymentRecord) -> bool:
    """Drop a request that no worker has begun; False where Vipps may know of it."""
    if payment.state != PaymentState.REQUESTED:
        return False
    untried = sa.update(Command).where(
        col(Command.payment_id) == payment.id,
        col(Command.status) == CommandStatus.WAITING,
        col(Command.attempts) == 0,
    )
    drop = untried.values(status=CommandStatus.DROPPED, settled_at=book.real_now)
    create = drop.where(col(Command.kind) == CommandKind.CREATE_PAYMENT)
    if book.session.execute(create.returning(col(Command.id))).first() is None:
        return False
    book.session.execute(drop)  # what would have gone with it
    return True


def _release(book: Book, invoice: InvoiceRecord, ask: Ask) -> None:
    open_ones = under_way(book, invoice)
    asked_for = total_minor(open_ones, CommandKind.CAPTURE)
    remaining = amounts_of(invoice).remaining_to_capture - asked_for
    if ask.amount_minor is not None and ask.amount_minor != remaining:
        reason = f"cancel releases all that remains: {remaining}"
        raise InvalidInput(FieldError("amount", reason))
    if _is_being_released(invoice, open_ones):
        return  # asked already: Vipps releases the whole rest, once
    evidence = book.record_act(invoice, "cancel", ask)
    payment = authorizing_payment(book, invoice)
    book.plan(payment, CommandKind.CANCEL_PAYMENT, act_id=evidence.id)
    book.touch(invoice)


def _take(book: Book, invoice: InvoiceRecord, ask: Ask, kind: CommandKind, remaining: int) -> None:
    if ask.currency not in (None, invoice.currency):
        raise InvalidInput(FieldError("amount.currency", f"the invoice is in {invoice.currency}"))
    amount_minor = remaining if ask.amount_minor is None else ask.amount_minor
    if amount_minor > remaining or remaining <= 0:
        detail = f"{max(remaining, 0)} remain, commands under way counted"
        raise Conflict("amount_too_high", detail, available_actions=actions_of(invoice))
    evidence = book.record_act(invoice, kind, ask)
    payment = authorizing_payment(book, invoice)
    book.plan(payment, kind, amount_minor=amount_minor, act_id=evidence.id)
    book.touch(invoice)


def _is_being_released(invoice: InvoiceRecord, open_ones: Sequence[Command]) -> bool:
    """Tell whether the rest is asked for, or is once a read has confirmed the approval."""
    return invoice.closing is not None or any(
        command.kind == CommandKind.CANCEL_PAYMENT for command in open_ones
    )
