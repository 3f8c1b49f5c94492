"""What Vipps's answer to `create payment` means for the invoice: asked, or not."""

from datetime import datetime

import sqlalchemy as sa

from service.commands.run import Ran
from service.errors import Conflict
from service.kinds import CommandKind
from service.ledger import payments
from service.ledger.book import Book
from service.ledger.consequences import (
    ask_again,
    close_if_nothing_lives,
    replace,
    tell_why_not,
)
from service.ledger.loaded import live_payment
from service.ledger.payments import expires_at_if_made_now
from service.ledger.record import judge_early_again
from service.ledger.resource import amounts_of
from service.ledger.types import Evidence
from service.store.inserts import table_of
from service.store.recovery import add_unread
from service.store.tables import (
    LIVE_PAYMENT_STATES,
    OPEN_STATUSES,
    Command,
    CommandAttempt,
    CommandStatus,
    InvoiceRecord,
    PaymentRecord,
)
from service.vipps.adoption import is_seen_by_now
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
        payments.was_made(payment, book.now)
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


def seek_lost(book: Book, invoice: InvoiceRecord, payment: PaymentRecord) -> None:
    """Have all read that was made for this invoice before a restore that has lost it.

    First whether there is more than this payment: its end might not be the invoice's."""
    for key in (invoice.id, payment.id):
        add_unread(book.session, key, invoice.msn)


def refuse_lost(book: Book, invoice: InvoiceRecord, payment: PaymentRecord) -> None:
    """Ask nobody where Vipps has a payment of this invoice from before a restore, of another sum.

    Another name would let the customer pay twice; a person has to look."""
    payment.state = PaymentState.REFUSED
    payment.replacement_flow = None
    book.touch(invoice, payment)
    _drop_withdrawals(book, payment)
    if invoice.closing is not None:
        close_if_nothing_lives(book, invoice)
    else:
        reason = "before a restore this invoice had another amount, and its payment is at Vipps"
        tell_why_not(book, invoice, Conflict("reference_taken", reason))


def ask_without_expiry(book: Book, invoice: InvoiceRecord, payment: PaymentRecord) -> None:
    """Ask once more without `expiresAt`, which this sales unit may not use (5050)."""
    _ask(book, invoice, payment, expires_at=None)


def ask_anew(book: Book, invoice: InvoiceRecord, payment: PaymentRecord) -> None:
    """Go on where a request was given up, of which is proven that it made no payment.

    Where it is still wanted the customer is asked once more, with a body made now."""
    is_in_time = State(invoice.state).is_payable and invoice.payable_until > book.now
    if is_in_time and invoice.closing is None and payment.replacement_flow is None:
        expires_at = expires_at_if_made_now(book, invoice, payment.user_flow)
        if expires_at == payment.expires_at:
            expires_at = None  # Vipps has just refused this very end: its clock is ahead of ours
        _ask(book, invoice, payment, expires_at=expires_at)
    else:
        _give_up(book, invoice, payment)


def _ask(
    book: Book, invoice: InvoiceRecord, payment: PaymentRecord, *, expires_at: datetime | None
) -> None:
    try:
        payments.ask_anew(book, invoice, payment, expires_at=expires_at)
    except Conflict as refusal:
        payment.state = PaymentState.REFUSED
        book.touch(invoice, payment)
        tell_why_not(book, invoice, refusal)


def _give_up(book: Book, invoice: InvoiceRecord, payment: PaymentRecord) -> None:
    """Note that no payment lives; what waited for that goes on. Expiry has its own time."""
    if payment.state == PaymentState.CREATED:
        book.tell(invoice, "invoice.payment_ended", "unknown_at_vipps")
    payment.state = PaymentState.REFUSED
    book.touch(invoice, payment)
    _drop_withdrawals(book, payment)
    if invoice.closing is not None:
        close_if_nothing_lives(book, invoice)
    else:
        replace(book, invoice, payment)


def give_up_the_lost(book: Book, invoice: InvoiceRecord, payment: PaymentRecord) -> bool:
    """Give up a payment that Vipps no longer knows, where its end is waited for; tell whether.

    A read has answered 404. That is a proof only when the last try was a minute ago, and there
    will be no other (contract, section 2)."""
    is_awaited = (
        invoice.closing is not None
        or payment.replacement_flow is not None
        or book.now >= payment.ends_at
    )
    if payment.state not in LIVE_PAYMENT_STATES or not is_awaited:
        return False
    if _is_being_made(book, payment) or not is_seen_by_now(_last_try_ago_s(book, payment)):
        return False
    _give_up(book, invoice, payment)
    return True


def _is_being_made(book: Book, payment: PaymentRecord) -> bool:
    column = table_of(Command).c
    is_open = column.status.in_(OPEN_STATUSES)
    creates = sa.select(column.id).where(
        column.payment_id == payment.id, column.kind == CommandKind.CREATE_PAYMENT, is_open
    )
    return book.session.execute(creates.limit(1)).first() is not None


def _last_try_ago_s(book: Book, payment: PaymentRecord) -> float | None:
    column = table_of(CommandAttempt).c
    tries = sa.select(sa.func.max(column.started_at)).where(
        column.payment_id == payment.id, column.kind == CommandKind.CREATE_PAYMENT
    )
    last = book.session.execute(tries).scalar()
    return (book.real_now - last).total_seconds() if last else None
