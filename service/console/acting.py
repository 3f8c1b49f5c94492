"""What a person does to an invoice: the same acts as the API's, with their name and reason."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from service.console import second_person
from service.console.formats import amount_in_minor_units
from service.console.gate import Form
from service.errors import Conflict, FieldError, InvalidInput
from service.ledger import acts
from service.ledger.book import Book
from service.ledger.elsewhere import PaidElsewhere, paid_elsewhere
from service.ledger.types import Ask
from service.staff.roles import Permission
from service.staff.users import Person
from service.store.tables import InvoiceRecord
from statemachine import MachineError

REASON_LENGTH_MAX = 500

Do = Callable[[Book, InvoiceRecord, Ask, Form], None]


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that can be done: its name, what it says, and what it takes."""

    name: str
    label: str
    says: str
    needs: Permission
    do: Do
    takes_amount: bool = False


def _without_form(act: Callable[[Book, InvoiceRecord, Ask], None]) -> Do:
    """Return an act that needs no more than every form has."""

    def do(book: Book, invoice: InvoiceRecord, ask: Ask, _: Form) -> None:
        act(book, invoice, ask)

    return do


def _refund(book: Book, invoice: InvoiceRecord, ask: Ask, _: Form) -> None:
    if second_person.is_needed(book, invoice, ask.amount_minor):
        second_person.ask_for_one(book, invoice, ask)
    else:
        acts.refund(book, invoice, ask)


def _paid_elsewhere(book: Book, invoice: InvoiceRecord, ask: Ask, form: Form) -> None:
    is_refund_wanted = form.get("refund") == "yes"
    if is_refund_wanted and second_person.is_needed(book, invoice, None):
        detail = "give the money back by Refund first: so much needs a second person"
        raise Conflict("second_person_needed", detail)
    paid = PaidElsewhere("console", note=ask.reason, is_refund_wanted=is_refund_wanted)
    paid_elsewhere(book, invoice, ask, paid)


ACTIONS: Mapping[str, Action] = {
    action.name: action
    for action in (
        Action(
            "push",
            "Ask again",
            "Sends the request into the customer's app. One that is open is replaced.",
            Permission.ASK,
            _without_form(acts.push),
        ),
        Action(
            "soft-dismiss",
            "Mark as postponed",
            "Notes that the customer will pay later. The open request stays.",
            Permission.ASK,
            _without_form(acts.soft_dismiss),
        ),
        Action(
            "capture",
            "Capture",
            "Takes reserved money from the customer.",
            Permission.MONEY,
            _without_form(acts.capture),
            takes_amount=True,
        ),
        Action(
            "refund",
            "Refund",
            "Gives captured money back to the customer.",
            Permission.MONEY,
            _refund,
            takes_amount=True,
        ),
        Action(
            "cancel",
            "Cancel",
            "Before it is approved: withdraws the invoice. After: releases all that is reserved.",
            Permission.MONEY,
            _without_form(acts.cancel),
        ),
        Action(
            "paid-elsewhere",
            "Paid elsewhere",
            "Withdraws the request, since the money came another way.",
            Permission.MONEY,
            _paid_elsewhere,
        ),
    )
}


def act(book: Book, invoice: InvoiceRecord, action: Action, person: Person, form: Form) -> None:
    """Do it as this person, if the invoice is still as they saw it.

    Raises: InvalidInput, Conflict (also where the machine refuses)."""
    require_unchanged(invoice, form)
    try:
        action.do(book, invoice, ask_of(invoice, action, person, form), form)
    except MachineError as error:
        raise Conflict("action_refused", str(error)) from error


def require_unchanged(invoice: InvoiceRecord, form: Form) -> None:
    """Check that the invoice is still as the form shows it. Raises: Conflict."""
    # A read that only confirms changes the version, and nothing that one decides on.
    if form.get("sequence") != str(invoice.sequence):
        raise Conflict(
            "changed_meanwhile", "the invoice has changed since you looked: look again, then decide"
        )


def ask_of(invoice: InvoiceRecord, action: Action, person: Person, form: Form) -> Ask:
    """Return what a form asks, as this person. Raises: InvalidInput."""
    reason = form.get("reason", "").strip()
    if not reason or len(reason) > REASON_LENGTH_MAX:
        raise InvalidInput(
            FieldError("reason", f"is needed, in at most {REASON_LENGTH_MAX} letters")
        )
    amount_minor = None
    typed = form.get("amount", "").strip()
    if action.takes_amount and typed:
        amount_minor = amount_in_minor_units(typed)
        if not amount_minor:
            raise InvalidInput(FieldError("amount", "is an amount such as 149.00"))
    return Ask(person.actor, "operator", amount_minor, invoice.currency, reason)
