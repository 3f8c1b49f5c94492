"""Finding a sales unit's invoices: by name, by state, by time, by a word."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, col

from service.errors import NotFound
from service.store.tables import Invoice
from statemachine import State

Invoices = sa.Select[Invoice]


@dataclass(frozen=True, slots=True)
class Sought:
    """What invoices are looked for; what is empty filters nothing."""

    states: Collection[State] = ()
    customer_id: str | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None  # exclusive
    due_from: date | None = None
    due_to: date | None = None  # that day included
    amount_minor: int | None = None
    text: str | None = None  # in the reference or the description, in any case


def invoices_sought(msn: str, sought: Sought) -> Invoices:
    """Return the statement that finds them, in no order yet."""
    found = sa.select(Invoice).where(col(Invoice.msn) == msn, *_conditions(sought))
    if sought.states:
        found = found.where(col(Invoice.state).in_(sorted(sought.states)))
    if sought.text:
        found = found.where(says(Invoice, sought.text))
    return found


def _conditions(sought: Sought) -> list[sa.ColumnElement[bool]]:
    wanted: list[tuple[Any, Callable[[Any], sa.ColumnElement[bool]]]] = [
        (sought.customer_id, lambda value: col(Invoice.customer_id) == value),
        (sought.created_from, lambda value: col(Invoice.created_at) >= value),
        (sought.created_to, lambda value: col(Invoice.created_at) < value),
        (sought.due_from, lambda value: col(Invoice.due_date) >= value),
        (sought.due_to, lambda value: col(Invoice.due_date) <= value),
        (sought.amount_minor, lambda value: col(Invoice.amount_minor) == value),
    ]
    return [compared(value) for value, compared in wanted if value is not None]


def says(invoice: type[Invoice], text: str) -> sa.ColumnElement[bool]:
    """Return the condition that the reference or the description holds a text, in any case."""
    return col(invoice.reference).icontains(text, autoescape=True) | col(
        invoice.description
    ).icontains(text, autoescape=True)


def find_invoice(session: Session, msn: str, reference: str) -> Invoice:
    """Return a sales unit's invoice by its name. Raises: NotFound."""
    named = sa.select(Invoice).where(col(Invoice.msn) == msn, col(Invoice.reference) == reference)
    found = session.scalars(named).one_or_none()
    if found is None:
        raise NotFound("there is no invoice with this reference")
    return found
