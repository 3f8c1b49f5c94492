"""Finding a sales unit's invoices: by name, by state, by time, by a word."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

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
    text: str | None = None  # in the reference or the description, in any case


def invoices_sought(msn: str, sought: Sought) -> Invoices:
    """Return the statement that finds them, in no order yet."""
    found = sa.select(Invoice).where(col(Invoice.msn) == msn)
    if sought.states:
        found = found.where(col(Invoice.state).in_(sorted(sought.states)))
    if sought.customer_id is not None:
        found = found.where(col(Invoice.customer_id) == sought.customer_id)
    if sought.created_from is not None:
        found = found.where(col(Invoice.created_at) >= sought.created_from)
    if sought.created_to is not None:
        found = found.where(col(Invoice.created_at) < sought.created_to)
    if sought.text:
        found = found.where(
            col(Invoice.reference).icontains(sought.text, autoescape=True)
            | col(Invoice.description).icontains(sought.text, autoescape=True)
        )
    return found


def find_invoice(session: Session, msn: str, reference: str) -> Invoice:
    """Return a sales unit's invoice by its name. Raises: NotFound."""
    named = sa.select(Invoice).where(col(Invoice.msn) == msn, col(Invoice.reference) == reference)
    found = session.scalars(named).one_or_none()
    if found is None:
        raise NotFound("there is no invoice with this reference")
    return found
