"""A new invoice: stored, named, and sent on its way, in one transaction."""

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from service.errors import Conflict, FieldError, InvalidInput
from service.ids import named_id
from service.ledger.book import Book
from service.ledger.hashing import GENESIS
from service.ledger.payments import claim_reference, start_payment
from service.ledger.people import customer_of, to_ask
from service.ledger.types import Ask, NewInvoice
from service.ledger.withdrawing import withdraw
from service.settings import TIME_ZONES
from service.store.tables import InvoiceRecord, SalesUnit
from service.vault.vault import page_lookup
from statemachine import Facts, State, Trigger, decide

_PAID = (State.AUTHORIZED, State.CAPTURED)

# Without a due date the customer has as long as an invoice usually gives.
DEFAULT_PAYABLE = timedelta(days=14)


def create_invoice(book: Book, msn: str, new: NewInvoice, ask: Ask) -> tuple[InvoiceRecord, bool]:
    """Store an invoice and decide its first payment; return it, and whether it is new.

    The same reference with the same content is the invoice that exists already.
    Raises: InvalidInput, Conflict (`reference_taken`, `consent_withdrawn`, …), Recovering."""
    known = _same_reference(book, msn, new)
    if known is not None:
        return known, False
    book.require_recovered(msn)
    unit = book.sales_unit(msn)
    invoice = _new_record(book, unit, new)
    if not claim_reference(book.session, msn, invoice.reference, invoice.id):
        # Another request took the name between our look and our claim, or a payment has it.
        known = _same_reference(book, msn, new)
        if known is None:
            raise Conflict("reference_taken", "the reference is taken by a payment")
        return known, False
    book.add_invoice(invoice)
    evidence = book.record_act(invoice, "create", ask)
    facts = Facts(amount_minor=invoice.amount_minor)
    book.move(invoice, decide(None, Trigger.CREATE, facts), evidence)
    is_waiting = _withdraw_replaced(book, invoice, ask)
    if not is_waiting and new.push and new.flow == "PUSH_MESSAGE":
        start_payment(book, invoice, user_flow=new.flow, act_id=evidence.id)
    return invoice, True


def _withdraw_replaced(book: Book, invoice: InvoiceRecord, ask: Ask) -> bool:
    """Withdraw the invoice that this one corrects; tell whether that sends this one.

    It is sent when the other has ended, now or later: nobody is asked for both."""
    reference = invoice.terms.get("replaces")
    if reference is None:
        return False
    found = book.find(invoice.msn, reference)
    if found is None:
        raise InvalidInput(FieldError("replaces", "there is no such invoice"))
    book.load([found])
    replaced = book.invoice(found)
    if replaced.authorized_by is not None and State(replaced.state) in _PAID:
        raise Conflict("replaced_is_paid", f"{reference} is {replaced.state}; release it first")
    if replaced.replaced_by is not None:
        raise Conflict(
            "replaced_already", f"{reference} was replaced before; replace what replaced it"
        )
    if invoice.flow == "PUSH_MESSAGE" and invoice.terms["push"]:
        # Nobody waits for the answer when it is sent: what refuses it must refuse it now.
        to_ask(book, invoice, invoice.flow)
    replaced.replaced_by = invoice.id
    book.touch(replaced)
    if not State(replaced.state).is_payable:
        return False
    if replaced.closing is None:
        withdraw(book, replaced, book.record_act(replaced, "cancel", ask))
    return True


def _same_reference(book: Book, msn: str, new: NewInvoice) -> InvoiceRecord | None:
    if new.reference is None:
        return None
    found = book.find(msn, new.reference)
    if found is None:
        return None
    book.load([found])
    invoice = book.invoice(found)
    if bytes(invoice.creation_hash) != book.vault.request_print(new.creation_hash):
        raise Conflict("reference_taken", "the reference is taken by an invoice that differs")
    return invoice


def _new_record(book: Book, unit: SalesUnit, new: NewInvoice) -> InvoiceRecord:
    if new.currency != unit.currency:
        reason = f"this sales unit's currency is {unit.currency}"
        raise InvalidInput(FieldError("amount.currency", reason))
    # Posted again after a restore it is known as the one whose payments Vipps has: `adoption`.
    if new.reference is None:
        name = book.vault.new_invoice_name(unit.msn)
    else:
        name = book.vault.invoice_name(unit.msn, new.reference)
    invoice_id = named_id("inv", name)
    reference = new.reference or invoice_id.replace("_", "-")
    return InvoiceRecord(
        id=invoice_id,
        msn=unit.msn,
        reference=reference,
        amount_minor=new.amount_minor,
        currency=new.currency,
        customer_id=customer_of(book, unit.msn, new),
        description=new.description or f"Invoice {reference}",
        flow=new.flow,
        capture=new.capture,
        due_date=new.due_date,
        payable_until=_payable_until(book, unit, new),
        terms={**new.terms, "push": new.push},
        creation_hash=book.vault.request_print(new.creation_hash),
        page_lookup=page_lookup(book.vault.page_token(invoice_id)),
        state="",  # before the first transition there is none
        sequence=0,
        version=1,
        head_hash=GENESIS,
        created_at=book.now,
        updated_at=book.now,
    )


def _payable_until(book: Book, unit: SalesUnit, new: NewInvoice) -> datetime:
    zone = ZoneInfo(TIME_ZONES[unit.currency])
    due_end = _end_of(new.due_date, zone) if new.due_date else None
    until = new.payable_until or due_end or book.now + DEFAULT_PAYABLE
    if new.payable_until is None and until <= book.now:
        raise InvalidInput(FieldError("dueDate", "lies in the past"))
    require_ahead(book, until, due_date=new.due_date, currency=unit.currency)
    return until


def require_ahead(
    book: Book, payable_until: datetime, *, due_date: date | None, currency: str
) -> None:
    """Check that an invoice can be payable until then. Raises: InvalidInput."""
    if payable_until <= book.now:
        raise InvalidInput(FieldError("payableUntil", "lies in the past"))
    zone = ZoneInfo(TIME_ZONES[currency])
    if due_date is not None and payable_until < datetime.combine(due_date, time(), zone):
        raise InvalidInput(FieldError("payableUntil", "lies before dueDate"))


def _end_of(day: date, zone: ZoneInfo) -> datetime:
    """Return the last whole second of a day where the sales unit is."""
    return datetime.combine(day, time(23, 59, 59), zone)
