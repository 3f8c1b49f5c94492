"""What the customer does on the invoice page: pay, put it off, choose a day."""

from datetime import date, timedelta
from zoneinfo import ZoneInfo

from service.errors import Conflict, FieldError, InvalidInput
from service.ledger.acts import ask_next, require_only_one
from service.ledger.agenda import policy_of
from service.ledger.book import Book
from service.ledger.consent import withdraw_on_page
from service.ledger.loaded import live_payment
from service.ledger.people import may_be_asked
from service.ledger.returning import THE_CUSTOMER
from service.ledger.sharing import note_choice
from service.schedule.pushes import chosen_push_at
from service.settings import TIME_ZONES
from service.store.tables import Customer, InvoiceRecord, PaymentRecord, SalesUnit
from statemachine import State, Trigger

# Where the customer may say yes after all (contract, section 2: `reopen`).
REOPENABLE = frozenset((State.ABORTED, State.EXPIRED, State.FAILED))


def pay(
    book: Book, invoice: InvoiceRecord, *, wording: str | None, is_instead: bool = False
) -> None:
    """Have a payment of ten minutes made; one that lives here already is gone on with.

    `wording` names the words to which the customer agreed to share their number; None: not to.
    A request that waits in the app gives way only to who was told of it, `is_instead`.
    Raises: Conflict."""
    _require_open(book, invoice)
    live = live_payment(book.payments(invoice))
    is_in_app = live is not None and live.user_flow == "PUSH_MESSAGE"
    if is_in_app and live is not None and live.replacement_flow is None and not is_instead:
        raise Conflict("action_refused", "a request waits in the app")
    note_choice(book, invoice, wording)
    if live is not None and _is_as_wanted(book, invoice, live):
        return
    evidence = book.record_act(invoice, "pay", THE_CUSTOMER)
    if not State(invoice.state).is_payable:
        decision = book.decide(invoice, Trigger.REOPEN, reopened_by_customer_in_time=True)
        invoice.problem, invoice.ask_on = None, None
        book.move(invoice, decision, evidence)
    ask_next(book, invoice, "WEB_REDIRECT", evidence)


def put_off(book: Book, invoice: InvoiceRecord, day: date | None) -> None:
    """Note that the customer pays later, and the day on which to be asked; None leaves it open.

    Raises: Conflict, InvalidInput for a day on which nobody can be asked."""
    if not State(invoice.state).is_payable:
        raise Conflict("action_refused", f"the invoice is {invoice.state}")
    _require_open(book, invoice)
    if day is not None and not _is_possible(book, invoice, day):
        raise InvalidInput(FieldError("day", "nobody can be asked then"))
    has_changed = invoice.ask_on != day
    invoice.ask_on = day
    if invoice.state == State.PUSHED:
        evidence = book.record_act(invoice, "soft-dismiss", THE_CUSTOMER)
        book.move(invoice, book.decide(invoice, Trigger.SOFT_DISMISS), evidence)
    elif has_changed:
        book.record_act(invoice, "choose-day", THE_CUSTOMER)
        book.touch(invoice)


def withdraw(book: Book, invoice: InvoiceRecord) -> None:
    """Record that the invoice's customer withdraws; also a chosen day is none any more."""
    withdraw_on_page(book, invoice)
    if invoice.ask_on is not None:
        invoice.ask_on = None
        book.touch(invoice)


def days_to_choose(
    invoice: InvoiceRecord, unit: SalesUnit, customer: Customer | None, today: date
) -> tuple[date, date] | None:
    """Return the first and the last day on which the customer can be asked in the app, if any."""
    if customer is None or customer.erased_at is not None or not may_be_asked(customer):
        return None
    zone = ZoneInfo(TIME_ZONES[unit.currency])
    first, last = today + timedelta(days=1), invoice.payable_until.astimezone(zone).date()
    policy = policy_of(unit)
    if chosen_push_at(policy, last, now=invoice.created_at) >= invoice.payable_until:
        last -= timedelta(days=1)
    return (first, last) if first <= last else None


def _require_open(book: Book, invoice: InvoiceRecord) -> None:
    book.require_recovered(invoice.msn)
    state = State(invoice.state)
    if not state.is_payable and state not in REOPENABLE:
        raise Conflict("action_refused", f"the invoice is {state}")
    if invoice.paid_elsewhere is not None:
        raise Conflict("action_refused", "the invoice was paid another way")
    if invoice.closing is not None:
        raise Conflict("being_withdrawn", "the invoice is being withdrawn")
    require_only_one(book, invoice)


def _is_as_wanted(book: Book, invoice: InvoiceRecord, live: PaymentRecord) -> bool:
    """Tell whether the live payment is the one that the click asks for."""
    if live.replacement_flow is not None:
        return live.replacement_flow == "WEB_REDIRECT"
    customer = book.session.get(Customer, invoice.customer_id) if invoice.customer_id else None
    asks = invoice.sharing is not None and (customer is None or not may_be_asked(customer))
    return live.user_flow == "WEB_REDIRECT" and (live.sharing is not None) == asks


def _is_possible(book: Book, invoice: InvoiceRecord, day: date) -> bool:
    unit = book.sales_unit(invoice.msn)
    customer = book.session.get(Customer, invoice.customer_id) if invoice.customer_id else None
    today = book.now.astimezone(ZoneInfo(TIME_ZONES[unit.currency])).date()
    days = days_to_choose(invoice, unit, customer, today)
    return days is not None and days[0] <= day <= days[1]
