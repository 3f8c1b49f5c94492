"""What follows from a verdict beside the transition: reads, releases, replacements."""

from service.kinds import CommandKind
from service.ledger.book import Book, live_payment
from service.ledger.payments import start_payment
from service.ledger.types import Evidence
from service.store.tables import InvoiceRecord, PaymentRecord
from statemachine import Outcome, Reaction, State, Trigger, Verdict

# The body that cancels only what the customer has not approved yet (facts, section 1).
ONLY_BEFORE_AUTHORIZATION = {"cancelTransactionOnly": True}


def after_verdict(
    book: Book, verdict: Verdict, invoice: InvoiceRecord, payment: PaymentRecord
) -> None:
    """Decide what an event's verdict entails, in the same transaction."""
    if Reaction.NEEDS_ATTENTION in verdict.reactions:
        flag(book, invoice, payment, verdict.reason)
    elif Reaction.READ in verdict.reactions:
        book.plan_read(payment)
    if Reaction.RELEASE in verdict.reactions:
        book.plan(payment, CommandKind.CANCEL_PAYMENT)
        book.tell(invoice, "invoice.double_payment_detected", "authorized_when_closed")
    if Reaction.WITHDRAW_NEWER in verdict.reactions:
        withdraw_live(book, invoice)
    if verdict.outcome is Outcome.APPLIED:
        _go_on(book, verdict, invoice, payment)


def flag(book: Book, invoice: InvoiceRecord, payment: PaymentRecord, reason: str) -> None:
    """Show a contradiction to people, and have Vipps's own log read."""
    book.plan_read(payment)
    book.tell(invoice, "invoice.needs_attention", reason)


def withdraw_live(book: Book, invoice: InvoiceRecord, *, act_id: str | None = None) -> None:
    """Have the live payment cancelled at Vipps, unless the customer is faster."""
    live = live_payment(book.payments(invoice))
    if live is not None:
        book.plan(live, CommandKind.CANCEL_PAYMENT, body=ONLY_BEFORE_AUTHORIZATION, act_id=act_id)


def _go_on(book: Book, verdict: Verdict, invoice: InvoiceRecord, payment: PaymentRecord) -> None:
    decision = verdict.decision
    if decision is not None and decision.trigger is Trigger.AUTHORIZE:
        _customer_was_faster(book, invoice, payment)
    elif invoice.closing is not None:
        close_if_nothing_lives(book, invoice)
    elif payment.replacement_flow is not None and live_payment(book.payments(invoice)) is None:
        _replace(book, invoice, payment)


def _customer_was_faster(book: Book, invoice: InvoiceRecord, payment: PaymentRecord) -> None:
    """End what was being done to the payment; a withdrawn invoice's money is released."""
    payment.replacement_flow = None
    if invoice.closing is None:
        return
    invoice.automatic_capture_off = True
    book.plan(payment, CommandKind.CANCEL_PAYMENT, act_id=invoice.closing)
    invoice.closing = None


def close_if_nothing_lives(book: Book, invoice: InvoiceRecord) -> None:
    """Terminate an invoice that is being withdrawn, once no payment may still live."""
    if invoice.closing is None or live_payment(book.payments(invoice)) is not None:
        return
    if State(invoice.state).is_payable:
        evidence = Evidence(source="api", id=invoice.closing, occurred_at=book.now)
        decision = book.decide(invoice, Trigger.TERMINATE, payment_may_live=False)
        book.move(invoice, decision, evidence)
    invoice.closing = None


def _replace(book: Book, invoice: InvoiceRecord, payment: PaymentRecord) -> None:
    """Make the payment for which this one was withdrawn, if the invoice still wants one."""
    flow, payment.replacement_flow = payment.replacement_flow, None
    if flow is None or not State(invoice.state).is_payable:
        return
    if invoice.payable_until > book.now:
        start_payment(book, invoice, user_flow=flow)
