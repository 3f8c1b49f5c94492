"""What finance reads: a day's captures and refunds, and the evidence of one invoice."""

import csv
import io
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlmodel import Session

from service.api.answers import Answer, json_answer
from service.api.calls import Call
from service.api.invoices import reference_of
from service.audit.evidence import evidence_of
from service.errors import FieldError, InvalidInput, NotFound
from service.ledger.finding import find_invoice
from service.ledger.resource import money
from service.settings import TIME_ZONES
from service.shapes.reports import Booked, DailyReport
from service.store.inserts import table_of
from service.store.instants import rfc3339_of
from service.store.tables import Invoice, SalesUnit, StoredVippsEvent

_COLUMNS = ("at", "type", "invoice", "payment", "kid", "pspReference", "currency", "amount")
# Far outside of what can be booked; nearer to the calendar's ends a day has no midnight in UTC.
_FIRST_DAY, _LAST_DAY = date(1970, 1, 1), date(9000, 1, 1)
# A cell that begins so is run by a spreadsheet (threats T39).
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


async def daily(call: Call) -> Answer:
    """Answer `GET /v1/reports/daily?date=`: JSON, or CSV with `?format=csv`.

    A day is the sales unit's own; amounts are those of Vipps's events."""
    query = call.query
    day, form = _day(query.text("date")), query.text("format") or "json"
    if form not in ("json", "csv"):
        raise InvalidInput(FieldError("format", "is json or csv"))
    report = await call.read(lambda session: daily_report(session, call.caller.msn, day))
    if form == "json":
        return json_answer(report)
    headers = {
        "Content-Disposition": f'attachment; filename="betalbar-{call.caller.msn}-{day}.csv"',
        "Content-Type": "text/csv; charset=utf-8",
    }
    return Answer(200, _csv(report["items"]), headers)


async def evidence(call: Call) -> Answer:
    """Answer `GET /v1/invoices/{reference}/evidence`: everything stored about it, signed."""
    reference, context = reference_of(call), call.context

    def work(session: Session) -> dict[str, Any]:
        invoice = find_invoice(session, call.caller.msn, reference)
        return evidence_of(session, context, invoice)

    name = f"{reference}.evidence.json"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return json_answer(await call.read(work), headers=headers)


def _day(text: str | None) -> date:
    try:
        day = date.fromisoformat(text or "")
    except ValueError:
        day = date.min
    if not _FIRST_DAY <= day <= _LAST_DAY:
        raise InvalidInput(FieldError("date", "is a day such as 2026-11-22"))
    return day


def daily_report(session: Session, msn: str, day: date) -> DailyReport:
    """Return what was captured and refunded on one day of the sales unit's own.

    Raises: NotFound."""
    unit = session.get(SalesUnit, msn)
    if unit is None:
        raise NotFound("there is no such sales unit")
    items = [_item(row) for row in session.execute(_booked(msn, *_bounds(day, unit.currency)))]
    captured = sum(i["amount"]["value"] for i in items if i["type"] == "capture")
    refunded = sum(i["amount"]["value"] for i in items if i["type"] == "refund")
    return {
        "date": day.isoformat(),
        "salesUnit": msn,
        "timeZone": TIME_ZONES[unit.currency],
        "captured": money(captured, unit.currency),
        "refunded": money(refunded, unit.currency),
        "items": items,
    }


def _bounds(day: date, currency: str) -> tuple[datetime, datetime]:
    zone = ZoneInfo(TIME_ZONES[currency])
    start = datetime.combine(day, time(), zone)
    return start, datetime.combine(day + timedelta(days=1), time(), zone)


def _booked(msn: str, start: datetime, end: datetime) -> sa.Select[Any]:
    event, invoice = table_of(StoredVippsEvent).c, table_of(Invoice)
    return (
        sa.select(
            event.occurred_at,
            event.name,
            event.reference,
            event.psp_reference,
            event.amount_minor,
            event.currency,
            invoice.c.reference.label("invoice_reference"),
            invoice.c.terms,
        )
        .join_from(table_of(StoredVippsEvent), invoice, event.invoice_id == invoice.c.id)
        .where(
            event.msn == msn,
            event.occurred_at >= start,
            event.occurred_at < end,
            # As text: only then is the partial index known to hold what is asked for.
            sa.text("vipps_event.outcome = 'applied'"),
            sa.text("vipps_event.name IN ('CAPTURED', 'REFUNDED')"),
        )
        .order_by(event.occurred_at, event.psp_reference)
    )


def _item(row: sa.Row[Any]) -> Booked:
    return {
        "at": rfc3339_of(row.occurred_at),
        "type": "capture" if row.name == "CAPTURED" else "refund",
        "invoice": row.invoice_reference,
        "payment": row.reference,
        "kid": row.terms.get("kid"),
        "pspReference": row.psp_reference,
        "amount": money(row.amount_minor, row.currency),
    }


def _csv(items: Sequence[Booked]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(_COLUMNS)
    for item in items:
        amount = item["amount"]
        flat = {**item, "currency": amount["currency"], "amount": amount["value"]}
        writer.writerow([_cell(flat[name]) for name in _COLUMNS])
    return text.getvalue().encode()


def _cell(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
