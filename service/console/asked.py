"""What is asked of the list of invoices: filters, an order, a place in it; read from an address.

A page is found by keys, never by counting rows that come before, so that the last page costs as
much as the first. A word is looked for in so many invoices at a time: the page says how far it
has come, and goes on from there. Source: performance notes, "Growth".
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.orm import aliased
from sqlmodel import Session, col

from service.console.figures import time_zone_of
from service.console.formats import amount_in_minor_units
from service.console.gate import Form
from service.ids import first_id
from service.ledger.finding import Sought, invoices_sought, says
from service.store.tables import Invoice, SalesUnit
from statemachine import State

PAGE_LENGTH = 50
# As many as are read in some tens of milliseconds where a word is looked for.
LOOKED_THROUGH = 10_000

FILTERS = ("q", "state", "customer", "from", "to", "due-from", "due-to", "amount", "sort")

_WORD_LENGTH_MAX = 100
_ID_LENGTH_MAX = 60
# An id is made a moment before or after the instant that stands beside it.
_APART = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Sort:
    """An order, and what leads in it: a column besides the id, or the id alone."""

    label: str
    column: str | None
    is_falling: bool


SORTS: Mapping[str, Sort] = {
    "newest": Sort("newest first", None, True),
    "oldest": Sort("oldest first", None, False),
    "due": Sort("due first", "due_date", False),
    "due-last": Sort("due last", "due_date", True),
    "highest": Sort("highest amount", "amount_minor", True),
    "lowest": Sort("lowest amount", "amount_minor", False),
    "reference": Sort("reference", "reference", False),
}


# How what leads in an order is read from an address.
_READ: Mapping[str, Callable[[str], Any]] = {
    "due_date": date.fromisoformat,
    "amount_minor": int,
    "reference": str,
}


@dataclass(frozen=True, slots=True)
class Asked:
    """What an address asks; `problem` says what of it could not be read."""

    query: Mapping[str, str]
    sought: Sought
    sort: Sort
    word: str = ""
    after: tuple[Any, ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """One page, and where the next one begins; `reached`: how far a word was looked for."""

    invoices: Sequence[Invoice]
    after: str | None
    reached: Invoice | None = None


def read_asked(query: Form, unit: SalesUnit) -> Asked:
    """Return what is asked; what can't be read is said, and filters nothing."""
    kept = {name: query[name] for name in FILTERS if query.get(name)}
    zone = ZoneInfo(time_zone_of(unit))
    try:
        sought = _sought(kept, zone)
        sort = SORTS[kept.get("sort") or _usual_sort(kept)]
        after = _after(query.get("after", ""), sort)
    except (ValueError, KeyError):
        problem = "That is no date, no state, or no amount. Everything is shown."
        return Asked({}, Sought(), SORTS["newest"], problem=problem)
    return Asked(kept, sought, sort, kept.get("q", "").strip()[:_WORD_LENGTH_MAX], after)


def find(session: Session, msn: str, asked: Asked, *, are_ids_dated: bool) -> Found:
    """Return a page of what is asked for.

    `are_ids_dated`: ids are made by the same clock as what stands in them; with a sandbox's clock
    turned ahead they are not."""
    wanted = in_order(statement(msn, asked, are_ids_dated=are_ids_dated), Invoice, asked)
    if not asked.word:
        rows = session.scalars(wanted.limit(PAGE_LENGTH + 1)).all()
        return _page(rows, asked)
    looked = wanted.limit(LOOKED_THROUGH).subquery()
    one = aliased(Invoice, looked)
    fits = sa.select(one).where(says(one, asked.word))
    rows = session.scalars(_ordered(fits, one, asked.sort).limit(PAGE_LENGTH + 1)).all()
    if len(rows) > PAGE_LENGTH:
        return _page(rows, asked)
    last = session.scalars(wanted.offset(LOOKED_THROUGH - 1).limit(1)).first()
    return Found(rows, key_of(last, asked.sort) if last else None, last)


def statement(msn: str, asked: Asked, *, are_ids_dated: bool) -> sa.Select[Any]:
    """Return the statement that finds all of it but the word, in no order yet."""
    sought = asked.sought
    found = invoices_sought(msn, sought)
    if are_ids_dated and sought.created_from is not None:
        found = found.where(col(Invoice.id) >= first_id("inv", sought.created_from - _APART))
    if are_ids_dated and sought.created_to is not None:
        found = found.where(col(Invoice.id) < first_id("inv", sought.created_to + _APART))
    if asked.sort.column == "due_date":
        found = found.where(col(Invoice.due_date).is_not(None))
    return found


def in_order(found: sa.Select[Any], invoice: type[Invoice], asked: Asked) -> sa.Select[Any]:
    """Return the statement in its order, after the place that was reached."""
    if asked.after:
        key, place = sa.tuple_(*_columns(invoice, asked.sort)), sa.tuple_(*asked.after)
        found = found.where(key < place if asked.sort.is_falling else key > place)
    return _ordered(found, invoice, asked.sort)


def key_of(invoice: Invoice, sort: Sort) -> str:
    """Return what the next page begins after, as it stands in an address."""
    return f"{getattr(invoice, sort.column)}~{invoice.id}" if sort.column else invoice.id


def after(asked: Asked, key: str) -> Asked:
    """Return the same, from another place on."""
    return replace(asked, after=_after(key, asked.sort))


def address(path: str, asked: Asked, **more: str) -> str:
    """Return the address that asks for this, and something more."""
    query = urlencode({**asked.query, **more})
    return f"{path}?{query}" if query else path


def _sought(kept: Mapping[str, str], zone: ZoneInfo) -> Sought:
    begin, end = (_day(kept.get(name)) for name in ("from", "to"))
    amount_minor = None
    if "amount" in kept:
        amount_minor = amount_in_minor_units(kept["amount"])
        if amount_minor is None:
            raise ValueError("not an amount")
    return Sought(
        states=[State(kept["state"])] if "state" in kept else [],
        customer_id=kept.get("customer"),
        created_from=_midnight(begin, zone) if begin else None,
        created_to=_midnight(end + timedelta(days=1), zone) if end else None,
        due_from=_day(kept.get("due-from")),
        due_to=_day(kept.get("due-to")),
        amount_minor=amount_minor,
    )


def _usual_sort(kept: Mapping[str, str]) -> str:
    """Return the order in which what is filtered lies together."""
    return "due" if "due-from" in kept or "due-to" in kept else "newest"


def _after(text: str, sort: Sort) -> tuple[Any, ...]:
    if not text:
        return ()
    value, _, key = text.rpartition("~")
    if not key.startswith("inv_") or len(key) > _ID_LENGTH_MAX:
        raise ValueError("not a place")
    if sort.column is None:
        return (key,)
    return _READ[sort.column](value), key


def _columns(invoice: type[Invoice], sort: Sort) -> list[Any]:
    leading = [col(getattr(invoice, sort.column))] if sort.column else []
    return [*leading, col(invoice.id)]


def _ordered(found: sa.Select[Any], invoice: type[Invoice], sort: Sort) -> sa.Select[Any]:
    columns = _columns(invoice, sort)
    return found.order_by(*(c.desc() if sort.is_falling else c.asc() for c in columns))


def _page(rows: Sequence[Invoice], asked: Asked) -> Found:
    shown = rows[:PAGE_LENGTH]
    return Found(shown, key_of(shown[-1], asked.sort) if len(rows) > PAGE_LENGTH else None)


def _day(text: str | None) -> date | None:
    return date.fromisoformat(text) if text else None


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone)
