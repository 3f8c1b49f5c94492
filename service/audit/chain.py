"""Checking the hash chains: a changed, deleted or inserted transition is named."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session

from service.ledger.hashing import GENESIS, transition_hash
from service.store.inserts import table_of
from service.store.tables import Event, Invoice, Transition

# Invoices per query: enough to be fast, little enough to hold.
_PAGE = 500


@dataclass(frozen=True, slots=True)
class Fault:
    """The first thing wrong with an invoice's history; `sequence` is the row's number."""

    reference: str
    sequence: int
    what: str


def check_rows(reference: str, rows: Sequence[Mapping[str, Any]]) -> Fault | None:
    """Return the first row that does not follow from the one before it."""
    previous, state = GENESIS, None
    for number, row in enumerate(rows, start=1):
        what = _wrong(row, number=number, previous=previous, state=state)
        if what is not None:
            return Fault(reference, number, what)
        previous, state = bytes(row["hash"]), row["to_state"]
    return None


def _wrong(
    row: Mapping[str, Any], *, number: int, previous: bytes, state: str | None
) -> str | None:
    if row["sequence"] != number:
        return f"missing; the next one stored is {row['sequence']}"
    if bytes(row["previous_hash"]) != previous:
        return "does not follow from the row before it"
    if transition_hash(row) != bytes(row["hash"]):
        return "changed after it was written"
    if row["from_state"] != state:
        return "starts in another state than the row before it ended in"
    return None


def check_invoice(invoice: sa.Row[Any], rows: Sequence[Mapping[str, Any]]) -> Fault | None:
    """Return the first fault of an invoice, its own row compared with its history."""
    fault = check_rows(invoice.reference, rows)
    if fault is not None:
        return fault
    last = len(rows)
    if invoice.sequence != last:
        return Fault(invoice.reference, last + 1, f"missing; the invoice is at {invoice.sequence}")
    if rows and bytes(rows[-1]["hash"]) != bytes(invoice.head_hash):
        return Fault(invoice.reference, last, "is not the one that the invoice ends with")
    if rows and rows[-1]["to_state"] != invoice.state:
        return Fault(invoice.reference, last, f"does not lead to {invoice.state}")
    return None


def check_all(session: Session) -> Iterator[Fault | None]:
    """Check every invoice, oldest first; yield its fault, or None where it is whole."""
    last_id = ""
    while page := _invoices_after(session, last_id):
        history = _histories(session, [invoice.id for invoice in page])
        for invoice in page:
            yield check_invoice(invoice, history[invoice.id])
        last_id = page[-1].id
    yield from _orphans(session)


def count_invoices(session: Session) -> int:
    """Return how many invoices there are to check."""
    counted = sa.select(sa.func.count()).select_from(table_of(Invoice))
    return int(session.execute(counted).scalar_one())


def _invoices_after(session: Session, last_id: str) -> Sequence[sa.Row[Any]]:
    column = table_of(Invoice).c
    chosen = (column.id, column.reference, column.sequence, column.head_hash, column.state)
    newer = sa.select(*chosen).where(column.id > last_id).order_by(column.id).limit(_PAGE)
    return session.execute(newer).all()


def _histories(session: Session, ids: Sequence[str]) -> dict[str, list[Mapping[str, Any]]]:
    column = table_of(Transition).c
    rows = session.execute(
        sa.select(*column)
        .where(column.invoice_id.in_(ids))
        .order_by(column.invoice_id, column.sequence)
    )
    found: dict[str, list[Mapping[str, Any]]] = {key: [] for key in ids}
    for row in rows:
        found[row.invoice_id].append(dict(row._mapping))
    return found


def _orphans(session: Session) -> Iterator[Fault]:
    """Find what was told of invoices that are gone with their whole history."""
    event, invoice = table_of(Event), table_of(Invoice)
    gone = (
        sa.select(event.c.invoice_id, sa.func.max(event.c.sequence).label("sequence"))
        .where(
            event.c.is_transition,
            ~sa.exists().where(invoice.c.id == event.c.invoice_id),
        )
        .group_by(event.c.invoice_id)
    )
    for row in session.execute(gone):
        yield Fault(row.invoice_id, row.sequence, "the invoice itself is gone")
