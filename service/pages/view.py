"""An invoice as its page shows it: every value ready to be read, nothing left to compute."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from service.ledger.at_the_page import days_to_choose
from service.ledger.loaded import live_payment
from service.ledger.people import is_withdrawn, may_be_asked
from service.ledger.resource import amounts_of
from service.ledger.sharing import was_refused
from service.pages.formats import clock, day, local_day, money, organisation_number
from service.pages.languages import Language
from service.pages.look import Found
from service.pages.scene import Scene, may_pay, scene_of
from service.store.tables import Customer, InvoiceRecord
from statemachine import PaymentState, State

_UNITS = {
    "PCS": "\N{MULTIPLICATION SIGN}",
    "KG": "kg",
    "KM": "km",
    "MINUTE": "min",
    "LITRE": "l",
    "KWH": "kWh",
}
_COUNTRIES = {"NOK": "NO", "DKK": "DK", "EUR": "FI"}
_MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the invoice."""

    name: str
    quantity: str
    amount: str


@dataclass(frozen=True, slots=True)
class InvoiceOnPage:
    """What the templates show; amounts and days as the reader writes them."""

    version: str
    scene: Scene
    merchant: str
    initial: str
    organisation_number: str
    country: str
    contact_url: str
    terms_url: str
    privacy_url: str
    description: str
    amount: str
    due: str | None
    is_overdue: bool
    until: str
    reference: str
    kid: str | None
    lines: Sequence[Line]
    tax: str | None
    document_url: str | None
    has_document: bool
    authorized: str | None
    captured: str
    refunded: str
    reserved: str | None
    started_until: str | None
    has_trouble: bool
    can_pay: bool = False
    asks_to_share: bool = False
    was_asked_to_share: bool = False
    can_postpone: bool = False
    days: tuple[str, str] | None = None
    ask_on: str | None = None
    next_ask: str | None = None
    consent: str | None = None

    @property
    def is_waiting(self) -> bool:
        """Tell whether the page goes on by itself in a moment."""
        return self.scene in (Scene.MOMENT, Scene.WITHDRAWING)


def invoice_on_page(found: Found, language: Language, now: datetime) -> InvoiceOnPage:
    """Return what the page shows at a business time."""
    invoice, unit = found.invoice, found.unit
    amounts, currency = amounts_of(invoice), invoice.currency
    lines = invoice.terms.get("orderLines") or []
    last = found.payments[-1] if found.payments else None
    live = live_payment(found.payments)

    def written(amount_minor: int) -> str:
        return money(amount_minor, currency, language)

    return InvoiceOnPage(
        version=found.version,
        scene=scene_of(invoice, found.payments, now),
        merchant=unit.name,
        initial=unit.name[:1].upper(),
        organisation_number=organisation_number(unit.organisation_number, currency),
        country=_COUNTRIES[currency],
        contact_url=unit.contact_url,
        terms_url=unit.terms_of_sale_url,
        privacy_url=unit.privacy_policy_url,
        description=invoice.description,
        amount=written(invoice.amount_minor),
        due=day(invoice.due_date, language) if invoice.due_date else None,
        is_overdue=_is_overdue(invoice, local_day(now, currency)),
        until=_until(invoice, language),
        reference=invoice.reference,
        kid=invoice.terms.get("kid"),
        lines=[_line(line, currency, language) for line in lines],
        tax=_tax(lines, currency, language),
        document_url=invoice.terms.get("documentUrl"),
        has_document=found.has_document,
        authorized=written(amounts.authorized) if amounts.authorized else None,
        captured=written(amounts.captured),
        refunded=written(amounts.refunded),
        reserved=written(rest) if (rest := amounts.remaining_to_capture) else None,
        started_until=clock(live.ends_at, currency, language) if live else None,
        has_trouble=last is not None and _could_not_start(last.state, last.user_flow),
        **_choices(found, language, now),
    )


def _choices(found: Found, language: Language, now: datetime) -> dict[str, Any]:
    """Return what the customer can do, and has chosen."""
    invoice, customer = found.invoice, found.customer
    can_pay = may_pay(invoice, now)
    can_postpone = can_pay and State(invoice.state).is_payable
    days = days_to_choose(invoice, found.unit, customer, local_day(now, invoice.currency))
    is_agreed = customer is not None and may_be_asked(customer)
    return {
        "can_pay": can_pay,
        "asks_to_share": can_pay and not is_agreed,
        "was_asked_to_share": was_refused(found.payments[-1:]),
        "can_postpone": can_postpone,
        "days": tuple(map(str, days)) if can_postpone and days else None,
        "ask_on": str(invoice.ask_on) if invoice.ask_on else None,
        "next_ask": day(invoice.ask_on, language) if can_postpone and invoice.ask_on else None,
        "consent": _consent(customer),
    }


def _consent(customer: Customer | None) -> str | None:
    if customer is None or customer.erased_at is not None:
        return None
    if may_be_asked(customer):
        return "given"
    return "withdrawn" if is_withdrawn(customer) else None


def _until(invoice: InvoiceRecord, language: Language) -> str:
    return day(local_day(invoice.payable_until, invoice.currency), language)


def _is_overdue(invoice: InvoiceRecord, today: date) -> bool:
    is_open = invoice.state in ("created", "pushed", "soft_dismissed")
    return is_open and invoice.due_date is not None and invoice.due_date < today


def _could_not_start(state: str, user_flow: str) -> bool:
    # A request that the app refused says nothing about paying here.
    return state == PaymentState.REFUSED and user_flow == "WEB_REDIRECT"


def _line(line: dict[str, Any], currency: str, language: Language) -> Line:
    unit = line.get("unitInfo") or {}
    sign = _MINUS if line.get("isReturn") else ""
    quantity = (
        f"{unit['quantity']} {_UNITS.get(unit.get('quantityUnit') or '', '')}" if unit else ""
    )
    return Line(
        line["name"], quantity.strip(), sign + money(line["totalAmount"], currency, language)
    )


def _tax(lines: Sequence[dict[str, Any]], currency: str, language: Language) -> str | None:
    taxes = (-x if line.get("isReturn") else x for line in lines if (x := line["totalTaxAmount"]))
    total = sum(taxes)
    return money(total, currency, language) if total else None
