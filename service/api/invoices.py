"""What merchants do to invoices: create, push, capture, refund, cancel, soft-dismiss."""

from collections.abc import Callable
from typing import TypeVar

from sqlmodel import Session

from service.api.answers import Answer
from service.api.bodies import check
from service.api.calls import Call, Handler
from service.api.conditions import invoice_etag, require_match
from service.api.creation import new_invoice
from service.api.fields import REFERENCE
from service.api.mutations import Effect, perform, read_mutation
from service.api.resources import invoice_answer
from service.api.schemas import (
    ActIn,
    Body,
    InvoiceIn,
    MoneyIn,
    PaidElsewhereIn,
    PushIn,
    SoftDismissIn,
)
from service.api.waiting import Watch, is_under_way
from service.context import Context
from service.errors import Conflict, FieldError, InvalidInput, NotFound
from service.ledger import acts
from service.ledger.book import Book
from service.ledger.elsewhere import PaidElsewhere, paid_elsewhere
from service.ledger.invoices import create_invoice
from service.ledger.resource import actions_of
from service.ledger.types import Ask
from service.store.tables import Customer, InvoiceRecord
from statemachine import MachineError

B = TypeVar("B", bound=Body)
Act = Callable[[Book, InvoiceRecord, Ask, B], None]


async def create(call: Call) -> Answer:
    """Answer `POST /v1/invoices`: 201, or 200 where the same one is there already."""
    mutation = await read_mutation(call, wait_s=call.query.wait_s())
    new = new_invoice(check(InvoiceIn, mutation.body))
    ask = Ask(actor=call.caller.actor)

    def work(session: Session) -> Effect:
        require_match(mutation.if_match, None)
        book = Book(session, call.context)
        invoice, is_new = create_invoice(book, call.caller.msn, new, ask)
        book.post()
        return _effect(call.context, book, invoice, done_status=201 if is_new else 200)

    return await perform(call, mutation, work)


def reference_of(call: Call) -> str:
    """Return the invoice's name in the path. Raises: NotFound, where none can have it."""
    if REFERENCE.fullmatch(call.path_part) is None:
        raise NotFound("there is no invoice with this reference")
    return call.path_part


def _handler(model: type[B], act: Act[B], *, awaits_vipps: bool = True) -> Handler:
    """Return the handler of one act on one invoice."""

    async def handle(call: Call) -> Answer:
        mutation = await read_mutation(call, wait_s=call.query.wait_s())
        reference, body = reference_of(call), check(model, mutation.body)

        def work(session: Session) -> Effect:
            book = Book(session, call.context)
            invoice = book.invoice_by_reference(call.caller.msn, reference)
            require_match(mutation.if_match, etag_of(session, invoice))
            run_act(act, book, invoice, _ask(call, invoice, body), body)
            book.post()
            under_way_status = 202 if awaits_vipps else 200
            return _effect(
                call.context, book, invoice, done_status=200, under_way_status=under_way_status
            )

        return await perform(call, mutation, work)

    return handle


def run_act(act: Act[B], book: Book, invoice: InvoiceRecord, ask: Ask, body: B) -> None:
    """Run the act; what the machine refuses is refused with what is possible instead."""
    possible = actions_of(invoice)
    try:
        act(book, invoice, ask, body)
    except MachineError as error:
        raise Conflict("action_refused", str(error), available_actions=possible) from error


def _effect(
    context: Context,
    book: Book,
    invoice: InvoiceRecord,
    *,
    done_status: int,
    under_way_status: int | None = None,
) -> Effect:
    """Return the invoice as posted, and what to wait for."""
    is_awaited = under_way_status != 200 and is_under_way(book.session, invoice)
    status = (under_way_status or done_status) if is_awaited else done_status
    answer = invoice_answer(book.session, context, invoice, book.payments(invoice), status=status)
    command_ids = tuple(command["id"] for command in book.rows.commands)
    watch = Watch(invoice.id, invoice.sequence, invoice.problem, command_ids)
    return Effect(answer, watch if is_awaited else None)


def _ask(call: Call, invoice: InvoiceRecord, body: Body) -> Ask:
    amount: MoneyIn | None = getattr(body, "amount", None)
    if amount is not None and amount.currency != invoice.currency:
        raise InvalidInput(FieldError("amount.currency", f"the invoice is in {invoice.currency}"))
    return Ask(
        actor=call.caller.actor,
        amount_minor=amount.value if amount else None,
        currency=amount.currency if amount else None,
        reason=getattr(body, "reason", None),
    )


def etag_of(session: Session, invoice: InvoiceRecord) -> str:
    """Return the ETag of an invoice as it is in this transaction."""
    customer = session.get(Customer, invoice.customer_id) if invoice.customer_id else None
    return invoice_etag(invoice, customer)


def _push(book: Book, invoice: InvoiceRecord, ask: Ask, body: PushIn) -> None:
    acts.push(book, invoice, ask, user_flow=body.flow, payable_until=body.payable_until)


def _soft_dismiss(book: Book, invoice: InvoiceRecord, ask: Ask, _: SoftDismissIn) -> None:
    acts.soft_dismiss(book, invoice, ask)


def _cancel(book: Book, invoice: InvoiceRecord, ask: Ask, _: ActIn) -> None:
    acts.cancel(book, invoice, ask)


def _capture(book: Book, invoice: InvoiceRecord, ask: Ask, _: ActIn) -> None:
    acts.capture(book, invoice, ask)


def _refund(book: Book, invoice: InvoiceRecord, ask: Ask, _: ActIn) -> None:
    acts.refund(book, invoice, ask)


def _paid_elsewhere(book: Book, invoice: InvoiceRecord, ask: Ask, body: PaidElsewhereIn) -> None:
    paid = PaidElsewhere(body.channel, body.paid_at, body.note, body.refund)
    paid_elsewhere(book, invoice, ask, paid)


# By the last part of the path, which is also the action's name in `availableActions`.
ACTS: dict[str, Handler] = {
    "push": _handler(PushIn, _push),
    "soft-dismiss": _handler(SoftDismissIn, _soft_dismiss, awaits_vipps=False),
    "cancel": _handler(ActIn, _cancel),
    "capture": _handler(ActIn, _capture),
    "refund": _handler(ActIn, _refund),
    "paid-elsewhere": _handler(PaidElsewhereIn, _paid_elsewhere),
}
