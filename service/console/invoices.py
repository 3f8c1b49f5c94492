"""Finding invoices: by a word, a number, an amount, a state, a day; a page at a time.

The form is posted and answered with an address, so that a phone number never stands in one (I11).
"""

import re
from dataclasses import replace
from urllib.parse import urlencode

from sqlmodel import Session
from starlette.responses import Response
from starlette.routing import Route

from service.console import asked as asking
from service.console.asked import FILTERS, SORTS, Asked, find, read_asked
from service.console.figures import time_zone_of
from service.console.formats import amount_in_minor_units
from service.console.gate import Gate, Visit
from service.console.rendering import see_other
from service.errors import NotFound
from service.ledger.customers import search_customers
from service.ledger.finding import find_invoice
from service.staff.roles import Permission
from statemachine import State

LIST = "/console/invoices"
SEARCH = "/console/search"

# A whole number of a phone, as people write it; no reference is digits only.
_PHONE = re.compile(r"\+?[0-9]{8,15}")
_COUNTRY_CODES = {"NOK": "47", "DKK": "45", "EUR": "358"}
# Only an amount is written so: `149.00`, `1 200,5`.
_WITH_CENTS = re.compile(r"[0-9][0-9\s]*[.,][0-9]{1,2}")


def list_routes(gate: Gate) -> list[Route]:
    """Return the routes of the list and of the form above it."""
    return [gate.shown(LIST, _show), gate.acted(SEARCH, _search, needs=Permission.SEE)]


def _show(visit: Visit) -> Response:
    asked = read_asked(visit.query, visit.unit)
    return _list(visit, asked, typed=asked.word, status=422 if asked.problem else 200)


def _list(visit: Visit, asked: Asked, *, typed: str, said: str = "", status: int = 200) -> Response:
    with visit.context.database.brief_snapshot() as session:
        found = find(session, visit.unit.msn, asked, are_ids_dated=are_ids_dated(visit))
    values = {
        "asked": asked,
        "typed": typed,
        "said": said,
        "found": found,
        "next": asking.address(LIST, asked, after=found.after) if found.after else None,
        "export": asking.address(f"{LIST}.csv", asked),
        "amount_minor": amount_in_minor_units(asked.word),
        "states": list(State),
        "sorts": SORTS,
        "looked_through": asking.LOOKED_THROUGH,
        "page_length": asking.PAGE_LENGTH,
        "time_zone": time_zone_of(visit.unit),
    }
    return visit.page("invoices.html", values, status=status)


def _search(visit: Visit) -> Response:
    """Answer the form: with one invoice, with a person's, or with what the filters say."""
    typed = visit.form.get("q", "").strip()
    digits = re.sub(r"[\s()-]", "", typed)
    kept = {name: visit.form[name].strip() for name in FILTERS if visit.form.get(name)}
    is_phone = _PHONE.fullmatch(digits) is not None
    with visit.context.database.brief_snapshot() as session:
        if _is_there(session, visit, typed):
            return see_other(f"{LIST}/{typed}")
        customer_id = _customer(session, visit, digits) if is_phone else None
    if customer_id is not None:
        return _to(kept, "q", customer=customer_id)
    if is_phone:
        # A number of nobody's stays out of the address all the same.
        asked = read_asked({**kept, "q": ""}, visit.unit)
        said = "Nobody here has this number. These references and descriptions hold it:"
        asked = replace(asked, word=digits.lstrip("+"))
        return _list(visit, asked, typed=typed, said=said)
    if _WITH_CENTS.fullmatch(typed):
        return _to(kept, "q", amount=typed)
    return _to(kept)


def _to(kept: dict[str, str], *without: str, **more: str) -> Response:
    query = {**{name: text for name, text in kept.items() if name not in without}, **more}
    return see_other(f"{LIST}?{urlencode(query)}" if query else LIST)


def _is_there(session: Session, visit: Visit, reference: str) -> bool:
    try:
        find_invoice(session, visit.unit.msn, reference)
    except NotFound:
        return False
    return True


def _customer(session: Session, visit: Visit, digits: str) -> str | None:
    """Return whose number this is, with the country's code or, as people say it, without."""
    number = digits.removeprefix("+").removeprefix("00")
    local = _COUNTRY_CODES[visit.unit.currency] + number.removeprefix("0")
    for spelling in (number, local):
        for customer in search_customers(session, visit.context.vault, visit.unit.msn, spelling):
            return customer.id
    return None


def are_ids_dated(visit: Visit) -> bool:
    """Tell whether ids are made by the clock that dates invoices: not beside a sandbox's."""
    return not visit.context.settings.has_built_in_sandbox
