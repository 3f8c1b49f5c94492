"""What follows from a verdict beside the transition: reads, releases, replacements."""

import sqlalchemy as sa
from sqlmodel import col

from service.errors import Conflict
from service.kinds import CommandKind
from service.ledger.book import Book
from service.ledger.loaded import live_payment
from service.ledger.payments import start_payment
from service.ledger.resource import rfc3339
from service.store.tables import Command, CommandStatus, InvoiceRecord, PaymentRecord
from statemachine import Outcome, PaymentState, Reaction, State, Trigger, Verdict

# The body that cancels only what the customer has not approved yet (facts, section 1). What
# releases a reservation has none, and that tells the two apart.
ONLY_BEFORE_AUTHORIZATION = {"cancelTransactionOnly": True}

# Vipps's word for a bank that is away: no to this try, and perhaps yes to a later one.
TRY_LATER = "6280"

_NOTHING_HELD = frozenset(
    (
        State.ABORTED,
        State.CANCELLED,
        State.EXPIRED,
        State.FAILED,
        State.REFUNDED,
        State.TERMINATED,
    )
)


def after_verdict(
    book: Book, verdict: Verdict, invoice: InvoiceRecord, payment: PaymentRecord
) -> None:
    """Decide what an event's verdict entails, in the same transaction."""
    if Reaction.NEEDS_ATTENTION in verdict.reactions:
        flag(book, invoice, payment, verdict.reason)
    elif Reaction.READ in verdict.reactions:
        book.plan_read(payment)
    if Reaction.RELEASE in verdict.reactions:
        # The release itself waits for a read that confirms it: `reading.take_in`.
        book.tell(invoice, "invoice.double_payment_detected", "authorized_when_closed")
    if Reaction.WITHDRAW_NEWER in verdict.reactions:
        _withdraw_newer(book, invoice)
    if verdict.outcome is Outcome.APPLIED:
        _go_on(book, verdict, invoice, payment)
        send_replacement(book, invoice)


def flag(book: Book, invoice: InvoiceRecord, payment: PaymentRecord, reason: str) -> None:
    """Show a contradiction to people, have the log read, and take no money by ourselves."""
    invoice.automatic_capture_off = True
    book.plan_read(payment)
    book.tell(invoice, "invoice.needs_attention", reason)


def withdraw_live(book: Book, invoice: InvoiceRecord, *, act_id: str | None = None) -> None:
    """Have the live payment cancelled at Vipps, unless the customer is faster."""
    live = live_payment(book.payments(invoice))
    if live is not None:
        book.plan(live, CommandKind.CANCEL_PAYMENT, body=ONLY_BEFORE_AUTHORIZATION, act_id=act_id)


def _withdraw_newer(book: Book, invoice: InvoiceRecord) -> None:
    """Take back the newer request; one that nobody has begun to make is never made."""
    if not drop_untried(book, invoice):
        withdraw_live(book, invoice)


def drop_untried(book: Book, invoice: InvoiceRecord) -> bool:
    """Drop the live request if no worker has begun it; False where Vipps may know of it."""
    payment = live_payment(book.payments(invoice))
    if payment is None or payment.state != PaymentState.REQUESTED:
        return False
    if not drop_untried_commands(book, payment, CommandKind.CREATE_PAYMENT):
        return False
    drop_untried_commands(book, payment, *CommandKind)  # what would have gone with it
    payment.state = PaymentState.REFUSED
    book.touch(invoice, payment)
    return True


def drop_untried_commands(book: Book, payment: PaymentRecord, *kinds: CommandKind) -> bool:
    """Drop what no worker has begun of these kinds; tell whether there was anything.

    A try that Vipps refused for the time being counts as none: the next has another key."""
    refused_for_now = col(Command.answer)["code"].as_string() == TRY_LATER
    untried = sa.update(Command).where(
        col(Command.payment_id) == payment.id,
        col(Command.kind).in_(kinds),
        col(Command.status) == CommandStatus.WAITING,
        sa.or_(col(Command.attempts) == 0, refused_for_now),
    )
    drop = untried.values(status=CommandStatus.DROPPED, settled_at=book.real_now)
    return book.session.execute(drop.returning(col(Command.id))).first() is not None


def _go_on(book: Book, verdict: Verdict, invoice: InvoiceRecord, payment: PaymentRecord) -> None:
    decision = verdict.decision
    if decision is not None and decision.trigger is Trigger.AUTHORIZE:
        # The customer was faster than what was being done to the payment.
        payment.replacement_flow = None
        if invoice.closing is not None:
            invoice.automatic_capture_off = True
        if invoice.paid_elsewhere is not None:
            book.tell(invoice, "invoice.double_payment_detected", "paid_before_elsewhere")
    elif invoice.closing is not None:
        close_if_nothing_lives(book, invoice)
    elif live_payment(book.payments(invoice)) is None:
        replace(book, invoice, payment)


def close_if_nothing_lives(book: Book, invoice: InvoiceRecord) -> None:
    """Terminate an invoice that is being withdrawn, once no payment may still live.

    One that was authorized all the same stays in closing until its money is released."""
    if invoice.closing is None or invoice.authorized_by is not None:
        return
    if live_payment(book.payments(invoice)) is not None:
        return
    if State(invoice.state).is_payable:
        decision = book.decide(invoice, Trigger.TERMINATE, payment_may_live=False)
        book.move(invoice, decision, book.evidence_of(invoice.closing))
    invoice.closing = None
    book.touch(invoice)
    send_replacement(book, invoice)


def is_nothing_held(state: str) -> bool:
    """Tell whether nothing can be paid, and nothing is reserved or taken, in this state."""
    return State(state) in _NOTHING_HELD


def send_replacement(book: Book, invoice: InvoiceRecord) -> None:
    """Send the corrected invoice, once nothing can be paid or is held on this one."""
    if invoice.replaced_by is None or not is_nothing_held(invoice.state):
        return
    book.load([invoice.replaced_by])
    corrected = book.invoice(invoice.replaced_by)
    is_waiting = State(corrected.state).is_payable and not book.payments(corrected)
    # By link nothing is made at Vipps before the customer clicks.
    is_wanted = corrected.flow == "PUSH_MESSAGE" and corrected.terms.get("push", True)
    if is_waiting and is_wanted and corrected.closing is None and corrected.problem is None:
        ask_again(book, corrected, user_flow=corrected.flow)


def replace(book: Book, invoice: InvoiceRecord, ended: PaymentRecord) -> None:
    """Make the payment for which this one was withdrawn, if there was to be one."""
    flow, ended.replacement_flow = ended.replacement_flow, None
    if flow is None:
        return
    if State(invoice.state).is_payable:
        ask_again(book, invoice, user_flow=flow)
    else:
        show_why_not(book, invoice, "invoice_closed", f"the invoice is {invoice.state} since")


def ask_again(book: Book, invoice: InvoiceRecord, *, user_flow: str) -> bool:
    """Make the next payment by ourselves; where that can't be, show why and return False.

    Nobody waits for an answer here, and what led here must be stored in any case."""
    try:
        start_payment(book, invoice, user_flow=user_flow)
    except Conflict as refusal:
        tell_why_not(book, invoice, refusal)
        return False
    return True


def tell_why_not(book: Book, invoice: InvoiceRecord, refusal: Conflict) -> None:
    """Show, and tell, why the customer is not asked."""
    show_why_not(book, invoice, refusal.code, str(refusal))
    book.tell(invoice, "invoice.needs_attention", refusal.code)


def show_why_not(book: Book, invoice: InvoiceRecord, code: str, detail: str) -> None:
    """Show the merchant why the customer was not asked."""
    invoice.problem = {
        "command": CommandKind.CREATE_PAYMENT,
        "code": code,
        "status": None,
        "detail": f"The customer was not asked again: {detail}",
        "traceId": None,
        "at": rfc3339(book.now),
    }
    book.touch(invoice)
