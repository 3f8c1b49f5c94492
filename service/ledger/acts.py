"""What a merchant asks of an invoice: each becomes a decision, a command, or a refusal.

Nothing here waits for Vipps: commands are rows, and the states that depend on Vipps move
when its events come (contract, section 4).
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from service.errors import Conflict, FieldError, InvalidInput
from service.kinds import CommandKind
from service.ledger.book import Book
from service.ledger.consequences import is_nothing_held, withdraw_live
from service.ledger.invoices import require_ahead
from service.ledger.loaded import live_payment
from service.ledger.payments import start_payment
from service.ledger.people import MERCHANT, to_ask
from service.ledger.resource import actions_of, amounts_of, page_url
from service.ledger.sharing import note_choice, was_refused
from service.ledger.types import Ask, Evidence
from service.ledger.under_way import total_minor, under_way
from service.ledger.withdrawing import withdraw
from service.store.tables import Command, InvoiceRecord, PaymentRecord
from statemachine import State, Trigger


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
    require(book, invoice, "push")
    if invoice.closing is not None:
        raise Conflict("being_withdrawn", "the invoice is being withdrawn")
    require_only_one(book, invoice)
    evidence = book.record_act(invoice, "push", ask)
    _set_payable_until(book, invoice, payable_until)
    if not State(invoice.state).is_payable:
        _reopen(book, invoice, evidence)
    flow = user_flow or invoice.flow
    if flow == "WEB_REDIRECT" and ask.source == "api":
        # The merchant's own page: it asks for the number until the customer has refused that.
        choice = None if was_refused(book.payments(invoice)) else MERCHANT
        note_choice(book, invoice, choice)
    ask_next(book, invoice, flow, evidence)


def ask_next(book: Book, invoice: InvoiceRecord, flow: str, evidence: Evidence) -> None:
    """Start the next payment; a live one is withdrawn first. Raises: Conflict."""
    live = live_payment(book.payments(invoice))
    if flow == "PUSH_MESSAGE":
        _require_willing(book, invoice)
    if live is None:
        start_payment(book, invoice, user_flow=flow, act_id=evidence.id)
    elif live.replacement_flow is None:
        live.replacement_flow = flow
        withdraw_live(book, invoice, act_id=evidence.id)
    else:
        live.replacement_flow = flow
        book.touch(invoice, live)


def _require_willing(book: Book, invoice: InvoiceRecord) -> None:
    """Check that the customer may be asked in the app, before anything is withdrawn for it.

    Raises: Conflict, with the link that can be sent instead."""
    try:
        to_ask(book, invoice, "PUSH_MESSAGE")
    except Conflict as error:
        error.page_url = page_url(invoice.id, book.vault, book.settings.base_url)
        raise


def require_only_one(book: Book, invoice: InvoiceRecord) -> None:
    """Check that the customer is asked for one of two invoices that replace each other.

    The older one is read and not locked: locks are taken from old to new. Raises: Conflict."""
    if invoice.replaced_by is not None:
        raise Conflict("replaced_already", "another invoice replaces this one")
    reference = invoice.terms.get("replaces")
    older = book.find(invoice.msn, reference) if reference is not None else None
    if older is not None and not is_nothing_held(book.state_of(older)):
        raise Conflict("replaced_is_open", f"{reference} can still be paid, or is")


def soft_dismiss(book: Book, invoice: InvoiceRecord, ask: Ask) -> None:
    """Note that the customer postponed it. Raises: Conflict."""
    require(book, invoice, "soft-dismiss")
    evidence = book.record_act(invoice, "soft-dismiss", ask)
    book.move(invoice, book.decide(invoice, Trigger.SOFT_DISMISS), evidence)


def cancel(book: Book, invoice: InvoiceRecord, ask: Ask) -> None:
    """Withdraw the invoice before authorization; after it, release what is reserved.

    Raises: Conflict, InvalidInput (an amount that is not all that remains)."""
    require(book, invoice, "cancel")
    if not State(invoice.state).is_payable:
        _release(book, invoice, ask)
    elif ask.amount_minor not in (None, invoice.amount_minor):
        raise InvalidInput(FieldError("amount", "cancel takes the whole amount"))
    elif invoice.closing is None:
        withdraw(book, invoice, book.record_act(invoice, "cancel", ask))


def capture(book: Book, invoice: InvoiceRecord, ask: Ask) -> None:
    """Take reserved money; no amount = all that remains. Raises: Conflict, InvalidInput."""
    require(book, invoice, "capture")
    open_ones = under_way(book, invoice)
    if _is_being_released(invoice, open_ones):
        raise Conflict("being_released", "the reservation is being released")
    asked_for = total_minor(open_ones, CommandKind.CAPTURE)
    remaining = amounts_of(invoice).remaining_to_capture - asked_for
    _take(book, invoice, ask, CommandKind.CAPTURE, remaining)


def refund(book: Book, invoice: InvoiceRecord, ask: Ask) -> None:
    """Give captured money back; no amount = all that remains.

    Raises: Conflict, InvalidInput."""
    require(book, invoice, "refund")
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


def require(book: Book, invoice: InvoiceRecord, action: str) -> None:
    """Check that the action is possible now. Raises: Conflict, with those that are; Recovering."""
    book.require_recovered(invoice.msn)
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


def _release(book: Book, invoice: InvoiceRecord, ask: Ask) -> None:
    open_ones = under_way(book, invoice)
    asked_for = total_minor(open_ones, CommandKind.CAPTURE)
    remaining = amounts_of(invoice).remaining_to_capture - asked_for
    if ask.amount_minor is not None and ask.amount_minor != remaining:
        reason = f"cancel releases all that remains: {remaining}"
        raise InvalidInput(FieldError("amount", reason))
    if _is_being_released(invoice, open_ones):
        return  # asked already: Vipps releases the whole rest, once
    _plan_release(book, invoice, book.record_act(invoice, "cancel", ask))


def release_rest(book: Book, invoice: InvoiceRecord, evidence: Evidence) -> None:
    """Have what is reserved released, unless nothing is, or that is under way already."""
    is_asked = _is_being_released(invoice, under_way(book, invoice))
    if amounts_of(invoice).remaining_to_capture > 0 and not is_asked:
        _plan_release(book, invoice, evidence)


def _plan_release(book: Book, invoice: InvoiceRecord, evidence: Evidence) -> None:
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
