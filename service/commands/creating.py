"""What Vipps's answer to `create payment` means for the invoice: asked, or not."""

import sqlalchemy as sa

from service.commands.claim import Claimed
from service.commands.run import Ran
from service.kinds import CommandKind
from service.ledger.book import Book
from service.ledger.consequences import ask_again, close_if_nothing_lives, replace
from service.ledger.loaded import live_payment
from service.ledger.payments import DEFAULT_LIFE
from service.ledger.people import box_of
from service.ledger.record import judge_early_again
from service.ledger.resource import amounts_of
from service.ledger.types import Evidence
from service.store.inserts import table_of
from service.store.tables import Command, CommandStatus, Customer, InvoiceRecord, PaymentRecord
from statemachine import Facts, PaymentState, State, Trigger, decide

# Wrong for this reference, amount or currency, whoever asks: no payment can be made at all.
# Everything else that Vipps refuses may be refused for the way of asking only.
_NO_PAYMENT_AT_ALL = frozenset(("4040", "5040", "6010"))
# Without a domain code Vipps names the field.
_FIELDS_OF_EVERY_PAYMENT = ("amount", "reference")


def push(book: Book, invoice: InvoiceRecord, payment: PaymentRecord, ran: Ran) -> None:
    """Note that the payment exists; move the invoice unless its event came first.

    A 201 that comes after AUTHORIZED only completes the command (contract, section 4)."""
    if payment.state == PaymentState.REQUESTED:
        payment.state = PaymentState.CREATED
    if ran.redirect_url is not None:
        place = f"payment:{payment.id}:redirect_url"
        payment.redirect_url = book.vault.seal(ran.redirect_url.encode(), place=place)
    book.touch(invoice, payment)
    is_live = payment.state == PaymentState.CREATED
    if payment.has_pushed or not is_live or not State(invoice.state).is_payable:
        return
    payment.has_pushed = True
    invoice.problem = None
    amounts = amounts_of(payment)
    facts = Facts(
        amount_minor=invoice.amount_minor, before=amounts, after=amounts, payment_is_new=True
    )
    evidence = Evidence(
        source="response",
        id=ran.claimed.id,
        occurred_at=book.now,
        payment_reference=payment.reference,
    )
    book.move(invoice, decide(State(invoice.state), Trigger.PUSH, facts), evidence)
    judge_early_again(book, invoice, payment)


def refuse_payment(
    book: Book, invoice: InvoiceRecord, payment: PaymentRecord, ran: Ran, *, can_fail: bool
) -> None:
    """Note that Vipps will not make the payment; the invoice fails only where none can be."""
    payment.state = PaymentState.REFUSED
    book.touch(invoice, payment)
    _drop_withdrawals(book, payment)
    if invoice.closing is not None:
        close_if_nothing_lives(book, invoice)
    elif can_fail and _can_never_be(invoice, ran) and live_payment(book.payments(invoice)) is None:
        evidence = Evidence(
            source="response",
            id=ran.claimed.id,
            occurred_at=book.now,
            payment_reference=payment.reference,
        )
        decision = book.decide(invoice, Trigger.FAIL, payment_may_live=False)
        book.move(invoice, decision, evidence)
    elif payment.replacement_flow is not None:
        replace(book, invoice, payment)
    else:
        book.tell(invoice, "invoice.needs_attention", "push_refused")


def _drop_withdrawals(book: Book, payment: PaymentRecord) -> None:
    """Drop what would withdraw a payment that does not exist; they waited in its line."""
    table = table_of(Command)
    book.session.execute(
        sa.update(table)
        .where(
            table.c.payment_id == payment.id,
            table.c.kind == CommandKind.CANCEL_PAYMENT,
            table.c.status == CommandStatus.WAITING,
        )
        .values(status=CommandStatus.DROPPED, settled_at=book.real_now)
    )


def _can_never_be(invoice: InvoiceRecord, ran: Ran) -> bool:
    if invoice.state != State.CREATED:
        return False
    return ran.answer.code in _NO_PAYMENT_AT_ALL or any(
        name.lower().startswith(_FIELDS_OF_EVERY_PAYMENT) for name in _named_fields(ran)
    )


def _named_fields(ran: Ran) -> list[str]:
    details = ran.answer.body.get("extraDetails")
    named = details if isinstance(details, list) else []
    return [str(detail.get("name")) for detail in named if isinstance(detail, dict)]


def take_next_name(book: Book, invoice: InvoiceRecord, payment: PaymentRecord) -> None:
    """Ask under the next reference: this one is somebody else's at Vipps."""
    payment.state = PaymentState.REFUSED
    book.touch(invoice, payment)
    _drop_withdrawals(book, payment)
    flow, payment.replacement_flow = payment.replacement_flow, None
    if invoice.closing is not None:
        close_if_nothing_lives(book, invoice)
    elif State(invoice.state).is_payable:
        ask_again(book, invoice, user_flow=flow or payment.user_flow)


def request_without_expiry(
    book: Book, invoice: InvoiceRecord, payment: PaymentRecord, claimed: Claimed
) -> None:
    """Ask once more without `expiresAt`, which this sales unit may not use (5050)."""
    body = {name: value for name, value in (claimed.body or {}).items() if name != "expiresAt"}
    payment.expires_at = None
    payment.ends_at = book.now + DEFAULT_LIFE
    book.touch(invoice, payment)
    customer = book.session.get(Customer, invoice.customer_id) if invoice.customer_id else None
    box = box_of(customer, book.vault) if customer else None
    book.plan(payment, CommandKind.CREATE_PAYMENT, body=body, box=box)
