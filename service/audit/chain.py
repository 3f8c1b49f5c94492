"""Checking the hash chains: a changed, deleted or inserted transition is named.

The chain alone is only as good as the database's keeper: whoever can write can compute it anew.
So each row is also held against the event that told of it, whose bytes are sealed with a key that
is not in the database, and which cannot be written without it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import sqlalchemy as sa
from sqlmodel import Session

from service.ledger.hashing import GENESIS, transition_hash
from service.ledger.resource import rfc3339
from service.store.inserts import table_of
from service.store.tables import Event, Invoice, Transition
from service.vault import SealBroken, Vault

# Invoices per query: enough to be fast, little enough to hold.
_PAGE = 500

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Fault:
    """The first thing wrong with an invoice's history; `sequence` is the row's number."""

    reference: str
    sequence: int
    what: str


def check_rows(reference: str, rows: Sequence[Row]) -> Fault | None:
    """Return the first row that does not follow from the one before it."""
    previous, state = GENESIS, None
    for number, row in enumerate(rows, start=1):
        what = _wrong(row, number=number, previous=previous, state=state)
        if what is not None:
            return Fault(reference, number, what)
        previous, state = bytes(row["hash"]), row["to_state"]
    return None


def _wrong(row: Row, *, number: int, previous: bytes, state: str | None) -> str | None:
    if row["sequence"] != number:
        return f"is missing; the next one stored is {row['sequence']}"
    if bytes(row["previous_hash"]) != previous:
        return "does not follow from the row before it"
    if transition_hash(row) != bytes(row["hash"]):
        return "was changed after it was written"
    if row["from_state"] != state:
        return "starts in another state than the row before it ended in"
    return None


def check_invoice(
    invoice: sa.Row[Any], rows: Sequence[Row], told: Mapping[int, Row | None]
) -> Fault | None:
    """Return the first fault of an invoice: its rows, itself, and what was told of it.

    `told` holds, by sequence, the event of each transition; None where it can't be opened."""
    fault = check_rows(invoice.reference, rows) or _check_told(invoice.reference, rows, told)
    if fault is not None:
        return fault
    last = len(rows)
    if invoice.sequence != last:
        what = f"is missing; the invoice is at {invoice.sequence}"
        return Fault(invoice.reference, last + 1, what)
    if not rows or bytes(rows[-1]["hash"]) != bytes(invoice.head_hash):
        return Fault(invoice.reference, last, "is not the one that the invoice ends with")
    if rows[-1]["to_state"] != invoice.state:
        return Fault(invoice.reference, last, f"does not lead to {invoice.state}")
    return None


def _check_told(
    reference: str, rows: Sequence[Row], told: Mapping[int, Row | None]
) -> Fault | None:
    for row in rows:
        sequence = row["sequence"]
        if sequence in told and not _is_as_told(row, told[sequence]):
            return Fault(reference, sequence, "is not what its event has told")
    later = [sequence for sequence in sorted(told) if sequence > len(rows)]
    return Fault(reference, later[0], "is missing, and its event is there") if later else None


def _is_as_told(row: Row, event: Row | None) -> bool:
    """Compare a row with its event; one whose seal is broken was not written by us."""
    if event is None:
        return False
    said, of = event["data"].get("transition") or {}, event["data"]
    return (event["type"], of.get("previousState"), said.get("trigger"), said.get("source")) == (
        f"invoice.{row['to_state']}",
        row["from_state"],
        row["trigger"],
        row["source"],
    ) and (said.get("occurredAt"), said.get("recordedAt")) == (
        rfc3339(row["occurred_at"]),
        rfc3339(row["recorded_at"]),
    )


def check_all(session: Session, vault: Vault) -> Iterator[Fault | None]:
    """Check every invoice, oldest first; yield its fault, or None where it is whole.

    At the end come the invoices of which only events are left."""
    last_id = ""
    while page := _invoices_after(session, last_id):
        ids = [invoice.id for invoice in page]
        history, told = _histories(session, ids), _told(session, vault, ids)
        for invoice in page:
            yield check_invoice(invoice, history[invoice.id], told[invoice.id])
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


def _histories(session: Session, ids: Sequence[str]) -> dict[str, list[Row]]:
    column = table_of(Transition).c
    rows = session.execute(
        sa.select(*column)
        .where(column.invoice_id.in_(ids))
        .order_by(column.invoice_id, column.sequence)
    )
    found: dict[str, list[Row]] = {key: [] for key in ids}
    for row in rows:
        found[row.invoice_id].append(dict(row._mapping))
    return found


def _told(session: Session, vault: Vault, ids: Sequence[str]) -> dict[str, dict[int, Row | None]]:
    column = table_of(Event).c
    rows = session.execute(
        sa.select(column.id, column.invoice_id, column.sequence, column.payload).where(
            column.invoice_id.in_(ids), column.is_transition
        )
    )
    found: dict[str, dict[int, Row | None]] = {key: {} for key in ids}
    for row in rows:
        found[row.invoice_id][row.sequence] = _opened(vault, row)
    return found


def _opened(vault: Vault, row: sa.Row[Any]) -> Row | None:
    try:
        event: Row = orjson.loads(vault.open(row.payload, place=f"event:{row.id}:payload"))
    except SealBroken:
        return None
    # Its place in the table is not sealed: another event of ours could stand here.
    is_of_this = event["sequence"] == row.sequence
    return event if is_of_this else None


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
        .order_by(event.c.invoice_id)
    )
    for row in session.execute(gone):
        yield Fault(row.invoice_id, row.sequence, "is told of, and the invoice itself is gone")
