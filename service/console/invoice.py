"""One invoice: where it stands, how it came there, why, and what can be done now."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import orjson
from starlette.responses import Response
from starlette.routing import Route

from service.audit.evidence import evidence_of
from service.console import map as state_map
from service.console.acting import ACTIONS, Action, act
from service.console.figures import time_zone_of
from service.console.gate import Gate, Visit
from service.console.invoices import LIST
from service.console.rendering import see_other
from service.errors import Conflict, InvalidInput, NotFound
from service.ledger.book import Book, write
from service.ledger.finding import find_invoice
from service.ledger.resource import actions_of, amounts_of
from service.store.tables import Invoice
from statemachine import State

ONE = f"{LIST}/{{reference}}"

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Step:
    """One transition with the stored fact behind it, as far as there is one."""

    row: Row
    report: Row | None
    act: Row | None
    events: Sequence[Row]


def invoice_routes(gate: Gate) -> list[Route]:
    """Return the routes of one invoice: its page, its evidence file, and each act."""
    return [
        gate.shown(ONE, _show),
        gate.shown(f"{ONE}/evidence", _download),
        *(
            gate.acted(f"{ONE}/{action.name}", partial(_act, action=action), needs=action.needs)
            for action in ACTIONS.values()
        ),
    ]


def _show(visit: Visit, *, problem: str = "", status: int = 200) -> Response:
    try:
        with visit.context.database.snapshot() as session:
            invoice = find_invoice(session, visit.unit.msn, visit.parts["reference"])
            evidence = evidence_of(session, visit.context, invoice)["evidence"]
    except NotFound:
        return visit.page("no_invoice.html", {}, status=404)
    values = {
        "invoice": invoice,
        "amounts": amounts_of(invoice),
        "resource": evidence["invoice"],
        "steps": _steps(evidence),
        "reports": _other_reports(evidence),
        "evidence": evidence,
        "actions": _actions(visit, invoice),
        "problem": problem,
        "map": state_map,
        "walked": {row["to_state"] for row in evidence["transitions"]},
        "arrows": _walked_arrows(evidence["transitions"]),
        "states": list(State),
        "time_zone": time_zone_of(visit.unit),
        "pretty": _pretty,
        "at": datetime.fromisoformat,
    }
    return visit.page("invoice.html", values, status=status)


def _act(visit: Visit, *, action: Action) -> Response:
    reference = visit.parts["reference"]

    def change(book: Book) -> None:
        invoice = book.invoice_by_reference(visit.unit.msn, reference)
        act(book, invoice, action, visit.who.person, visit.form)

    try:
        write(visit.context, change)
    except NotFound:
        return visit.page("no_invoice.html", {}, status=404)
    except InvalidInput as refused:
        return _show(visit, problem=f"{action.label}: {refused}.", status=422)
    except Conflict as refused:
        return _show(visit, problem=f"{action.label}: {refused}.", status=409)
    return see_other(f"{LIST}/{reference}")


def _download(visit: Visit) -> Response:
    reference = visit.parts["reference"]
    try:
        with visit.context.database.snapshot() as session:
            invoice = find_invoice(session, visit.unit.msn, reference)
            file = evidence_of(session, visit.context, invoice)
    except NotFound:
        return visit.page("no_invoice.html", {}, status=404)
    headers = {
        "Cache-Control": "no-store",
        "Content-Disposition": f'attachment; filename="evidence-{invoice.reference}.json"',
        "X-Content-Type-Options": "nosniff",
    }
    return Response(orjson.dumps(file), headers=headers, media_type="application/json")


def _actions(visit: Visit, invoice: Invoice) -> list[Action]:
    return [
        ACTIONS[name]
        for name in actions_of(invoice)
        if name in ACTIONS and visit.may(ACTIONS[name].needs)
    ]


def _steps(evidence: Row) -> list[Step]:
    reports = {row["id"]: row for row in evidence["vippsEvents"]}
    acts = {row["id"]: row for row in evidence["acts"]}
    told: dict[int, list[Row]] = {}
    for event in evidence["events"]:
        told.setdefault(event["sequence"], []).append(event)
    return [
        Step(
            row,
            reports.get(row["evidence_id"]),
            acts.get(row["evidence_id"]),
            told.get(row["sequence"], []),
        )
        for row in evidence["transitions"]
    ]


def _other_reports(evidence: Row) -> list[Row]:
    """Return what Vipps reported that moved nothing: doubles, late ones, contradictions."""
    moved = {row["evidence_id"] for row in evidence["transitions"]}
    return [row for row in evidence["vippsEvents"] if row["id"] not in moved]


def _walked_arrows(transitions: Sequence[Row]) -> list[tuple[state_map.Arrow, bool, str]]:
    ways = {(row["from_state"], row["to_state"]) for row in transitions}
    return [
        (arrow, any((start, arrow.end) in ways for start in arrow.starts), "")
        for arrow in state_map.arrows()
    ]


def _pretty(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
