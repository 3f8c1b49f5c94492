"""What the list shows as CSV: all of it, in pieces, safe to open in a spreadsheet.

Each piece is a look at the database of its own: who reads slowly holds nothing, and an invoice
that moves meanwhile stands once, since its place in the order does not change.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from service.console.asked import Asked, after, in_order, key_of, read_asked, statement
from service.console.figures import time_zone_of
from service.console.formats import day_and_time
from service.console.gate import Gate, Visit
from service.console.invoices import LIST, are_ids_dated
from service.ledger.finding import says
from service.staff.signing_in import note
from service.store.tables import Invoice

# Some milliseconds of the database's time each.
PIECE_ROWS = 1_000

# A spreadsheet takes a cell that begins so for a formula, and runs it (T39).
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_COLUMNS = (
    *("reference", "state", "currency", "amount", "authorized", "captured", "refunded", "released"),
    *("due", "created", "updated", "description", "kid", "paid_elsewhere", "problem"),
)
# Without it, one spreadsheet or other reads `Åse` as `Ã…se`.
_BYTE_ORDER_MARK = "\ufeff"


def export_routes(gate: Gate) -> list[Route]:
    """Return the route of the list as a file."""
    return [gate.shown(f"{LIST}.csv", _export)]


def _export(visit: Visit) -> Response:
    asked = read_asked(visit.query, visit.unit)
    if asked.problem:
        return visit.page("no_export.html", {"problem": asked.problem}, status=422)
    found = _found(visit, asked)
    counted = sa.select(sa.func.count()).select_from(found.subquery())
    with visit.context.database.brief_snapshot() as session:
        rows = session.execute(counted).scalar_one()
    with visit.context.database.transaction() as session:
        note(
            session,
            visit.who.person.id,
            "invoices.exported",
            now=visit.now,
            msn=visit.unit.msn,
            subject=f"{rows} invoices",
        )
    headers = {
        "Cache-Control": "no-store",
        "Content-Disposition": f'attachment; filename="invoices-{visit.now:%Y-%m-%d}.csv"',
        "X-Content-Type-Options": "nosniff",
        # Lines to come, with the one that names the columns: what progress is told by.
        "X-Rows": str(rows + 1),
    }
    pieces = _pieces(visit, asked, found)
    return StreamingResponse(pieces, headers=headers, media_type="text/csv")


def _found(visit: Visit, asked: Asked) -> sa.Select[Any]:
    found = statement(visit.unit.msn, asked, are_ids_dated=are_ids_dated(visit))
    return found.where(says(Invoice, asked.word)) if asked.word else found


def _pieces(visit: Visit, asked: Asked, found: sa.Select[Any]) -> Iterator[bytes]:
    yield (_BYTE_ORDER_MARK + _lines([_COLUMNS])).encode()
    zone = time_zone_of(visit.unit)
    while True:
        wanted = in_order(found, Invoice, asked).limit(PIECE_ROWS)
        with visit.context.database.brief_snapshot() as session:
            rows = session.scalars(wanted).all()
        if rows:
            yield _lines([_row(invoice, zone) for invoice in rows]).encode()
        if len(rows) < PIECE_ROWS:
            return
        asked = after(asked, key_of(rows[-1], asked.sort))


def _lines(rows: Sequence[Sequence[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([_cell(value) for value in row] for row in rows)
    return text.getvalue()


def _cell(value: Any) -> Any:
    # A line for each invoice, whatever a description holds: lines are what progress counts.
    text = " ".join(value.splitlines()) if isinstance(value, str) else value
    return f"'{text}" if isinstance(text, str) and text.startswith(_FORMULA) else text


def _row(invoice: Invoice, zone: str) -> list[Any]:
    sums = (
        invoice.amount_minor,
        invoice.authorized_minor,
        invoice.captured_minor,
        invoice.refunded_minor,
        invoice.cancelled_minor,
    )
    return [
        invoice.reference,
        invoice.state,
        invoice.currency,
        *(f"{minor // 100}.{minor % 100:02}" for minor in sums),
        invoice.due_date or "",
        day_and_time(invoice.created_at, zone),
        day_and_time(invoice.updated_at, zone),
        invoice.description,
        invoice.terms.get("kid") or "",
        (invoice.paid_elsewhere or {}).get("channel") or "",
        (invoice.problem or {}).get("code") or "",
    ]
