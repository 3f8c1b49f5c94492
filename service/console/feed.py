"""The end of the feed: what merchants' systems are told, as it is told."""

from typing import Any

import orjson
import sqlalchemy as sa
from sqlmodel import Session, col
from starlette.responses import Response
from starlette.routing import Route

from service.console.figures import time_zone_of
from service.console.formats import pretty
from service.console.gate import Gate, Visit
from service.store.tables import Event, Invoice, LetGo

TAIL = "/console/feed"
PAGE_LENGTH = 50

_POSITION_MAX = 2**63 - 1


def feed_routes(gate: Gate) -> list[Route]:
    """Return the route of the feed's end."""
    return [gate.shown(TAIL, _show)]


def _show(visit: Visit) -> Response:
    before = visit.query.get("before", "")
    until = min(int(before), _POSITION_MAX) if before.isdecimal() else _POSITION_MAX
    with visit.context.database.brief_snapshot() as session:
        gone = session.get(LetGo, visit.unit.msn) or LetGo(msn=visit.unit.msn)
        rows = _rows(session, visit.unit.msn, gone.position, until)
        events = [_told(visit, row) for row in rows[:PAGE_LENGTH]]
    values = {
        "events": events,
        "next": rows[PAGE_LENGTH - 1].position if len(rows) > PAGE_LENGTH else None,
        "is_tail": until == _POSITION_MAX,
        "gone_until": gone.told_at,
        "time_zone": time_zone_of(visit.unit),
    }
    return visit.page("feed.html", values)


def _rows(session: Session, msn: str, after: int, until: int) -> list[Any]:
    tail = (
        sa.select(
            col(Event.id),
            col(Event.position),
            col(Event.type),
            col(Event.sequence),
            col(Event.recorded_at),
            col(Event.payload),
            col(Invoice.reference),
        )
        .join_from(Event, Invoice, col(Invoice.id) == col(Event.invoice_id), isouter=True)
        .where(col(Event.msn) == msn, col(Event.position) > after, col(Event.position) < until)
        .order_by(col(Event.position).desc())
    )
    return list(session.execute(tail.limit(PAGE_LENGTH + 1)))


def _told(visit: Visit, row: Any) -> dict[str, Any]:
    payload = visit.context.vault.open(row.payload, place=f"event:{row.id}:payload")
    return {**row._mapping, "body": pretty(orjson.loads(payload))}
