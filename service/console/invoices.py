"""Finding invoices: by a word, by state, by day; newest first, a page at a time."""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from sqlmodel import col
from starlette.responses import Response
from starlette.routing import Route

from service.console.figures import time_zone_of
from service.console.gate import Form, Gate, Visit
from service.ledger.finding import Sought, invoices_sought
from service.store.tables import Invoice, SalesUnit
from statemachine import State

LIST = "/console/invoices"
PAGE_LENGTH = 50

_WORD_LENGTH_MAX = 100


@dataclass(frozen=True, slots=True)
class Asked:
    """What the form above the list says, and what of it could not be read."""

    sought: Sought
    before: str | None
    problem: str = ""


def list_routes(gate: Gate) -> list[Route]:
    """Return the route of the list."""
    return [gate.shown(LIST, _show)]


def _show(visit: Visit) -> Response:
    asked = _asked(visit.query, visit.unit)
    wanted = invoices_sought(visit.unit.msn, asked.sought)
    if asked.before:
        wanted = wanted.where(col(Invoice.id) < asked.before)
    page = wanted.order_by(col(Invoice.id).desc()).limit(PAGE_LENGTH + 1)
    with visit.context.database.snapshot() as session:
        found = session.scalars(page).all()
    is_more = len(found) > PAGE_LENGTH
    shown = found[:PAGE_LENGTH]
    values = {
        "asked": asked,
        "query": visit.query,
        "invoices": shown,
        "next": _next(visit.query, shown[-1].id) if is_more else None,
        "states": list(State),
        "time_zone": time_zone_of(visit.unit),
    }
    return visit.page("invoices.html", values, status=422 if asked.problem else 200)


def _asked(query: Form, unit: SalesUnit) -> Asked:
    zone = ZoneInfo(time_zone_of(unit))
    try:
        begin, end = _midnight(query.get("from", ""), zone), _midnight(query.get("to", ""), zone)
        states = [State(query["state"])] if query.get("state") else []
    except ValueError:
        return Asked(Sought(), None, "That is no date, or no state. Everything is shown.")
    sought = Sought(
        states=states,
        created_from=begin,
        created_to=end + timedelta(days=1) if end else None,
        text=query.get("q", "").strip()[:_WORD_LENGTH_MAX] or None,
    )
    return Asked(sought, query.get("before"))


def _midnight(day: str, zone: ZoneInfo) -> datetime | None:
    return datetime.combine(date.fromisoformat(day), time(), zone) if day else None


def _next(query: Form, last_id: str) -> str:
    kept = {name: query[name] for name in ("q", "state", "from", "to") if query.get(name)}
    return f"{LIST}?{urlencode({**kept, 'before': last_id})}"
