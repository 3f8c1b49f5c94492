"""One invoice: where it stands, how it came there, why, and what can be done now."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import orjson
import sqlalchemy as sa
from sqlmodel import Session, col
from starlette.responses import Response
from starlette.routing import Route

from service.audit.evidence import evidence_of
from service.console import map as state_map
from service.console import second_person, walk
from service.console.acting import ACTIONS, Action, act, ask_of, require_unchanged
from service.console.figures import time_zone_of
from service.console.formats import money, pretty
from service.console.gate import Gate, Visit
from service.console.invoices import LIST
from service.console.names import names_of
from service.console.rendering import see_other
from service.console.resending import resend
from service.errors import Conflict, InvalidInput, NotFound
from service.ledger.book import Book, write
from service.ledger.finding import find_invoice
from service.ledger.resource import actions_of, amounts_of
from service.ledger.types import Ask
from service.staff.roles import Permission
from service.staff.users import Person
from service.store.tables import Invoice, InvoiceRecord, Subscription
from statemachine import State

ONE = f"{LIST}/{{reference}}"

# What a second person does about a refund that waits.
Decide = Callable[[Book, InvoiceRecord, str, Person], None]


@dataclass(frozen=True, slots=True)
class Shown:
    """What stands above an invoice after a form."""

    problem: str = ""
    news: str = ""
    status: int = 200


def invoice_routes(gate: Gate) -> list[Route]:
    """Return the routes of one invoice: its page, its evidence file, and each act."""
    decisions: dict[str, Decide] = {"agree": second_person.agree, "decline": second_person.decline}
    return [
        gate.shown(ONE, _show),
        gate.shown(f"{ONE}/evidence", _download),
        *(
            gate.acted(f"{ONE}/{action.name}", partial(_act, action=action), needs=action.needs)
            for action in ACTIONS.values()
        ),
        *(
            gate.acted(
                f"{ONE}/refund-{name}", partial(_decide, decide=decide), needs=Permission.MONEY
            )
            for name, decide in decisions.items()
        ),
        gate.acted(f"{ONE}/resend", _resend, needs=Permission.ASK),
    ]


def _show(visit: Visit, shown: Shown = Shown()) -> Response:
    context = visit.context
    try:
        with context.database.snapshot() as session:
            invoice = find_invoice(session, visit.unit.msn, visit.parts["reference"])
            evidence = evidence_of(session, context, invoice)["evidence"]
            waiting = second_person.waiting(session, invoice.id)
            actors = [row["actor"] for row in evidence["transitions"]]
            actors += [f"user:{request.asked_by}" for request in waiting]
            names = names_of(session, context.vault, actors)
            receivers = _receivers(session, visit.unit.msn)
    except NotFound:
        return visit.page("no_invoice.html", {}, status=404)
    values = {
        "invoice": invoice,
        "amounts": amounts_of(invoice),
        "resource": evidence["invoice"],
        "steps": walk.steps(evidence),
        "reports": walk.other_reports(evidence),
        "tries": walk.tries(evidence),
        "evidence": evidence,
        "actions": _actions(visit, invoice),
        "waiting": waiting,
        "names": names,
        "receivers": receivers,
        "shown": shown,
        "map": state_map,
        "walked": {row["to_state"] for row in evidence["transitions"]},
        "arrows": walk.walked_arrows(evidence["transitions"]),
        "states": list(State),
        "time_zone": time_zone_of(visit.unit),
        "pretty": pretty,
        "at": datetime.fromisoformat,
    }
    return visit.page("invoice.html", values, status=shown.status)


def _act(visit: Visit, *, action: Action) -> Response:
    reference = visit.parts["reference"]
    is_confirmed = visit.form.get("confirmed") == "yes"

    def change(book: Book) -> None:
        invoice = book.invoice_by_reference(visit.unit.msn, reference)
        act(book, invoice, action, visit.who.person, visit.form)

    try:
        if not is_confirmed:
            return _confirm(visit, action)
        write(visit.context, change)
    except NotFound:
        return visit.page("no_invoice.html", {}, status=404)
    except InvalidInput as refused:
        return _show(visit, Shown(problem=f"{action.label}: {refused}.", status=422))
    except Conflict as refused:
        return _show(visit, Shown(problem=f"{action.label}: {refused}.", status=409))
    return see_other(f"{LIST}/{reference}")


def _confirm(visit: Visit, action: Action) -> Response:
    """Say what is about to be done, to what, and have it confirmed; nothing is done yet."""
    with visit.context.database.snapshot() as session:
        invoice = find_invoice(session, visit.unit.msn, visit.parts["reference"])
    require_unchanged(invoice, visit.form)
    ask = ask_of(invoice, action, visit.who.person, visit.form)
    values = {
        "invoice": invoice,
        "action": action,
        "ask": ask,
        "amount": _amount(invoice, action, ask),
        "alone_minor": visit.context.settings.refund_alone_max_minor,
        "form": {name: text for name, text in visit.form.items() if name != "csrf"},
    }
    return visit.page("confirm.html", values)


def _amount(invoice: Invoice, action: Action, ask: Ask) -> str | None:
    """Return the money that is about to move, as it is shown."""
    if not action.takes_amount:
        return None
    amounts = amounts_of(invoice)
    rest = amounts.remaining_to_refund if action.name == "refund" else amounts.remaining_to_capture
    return money(rest if ask.amount_minor is None else ask.amount_minor, invoice.currency)


def _decide(visit: Visit, *, decide: Decide) -> Response:
    reference = visit.parts["reference"]

    def change(book: Book) -> None:
        invoice = book.invoice_by_reference(visit.unit.msn, reference)
        decide(book, invoice, visit.form.get("request", ""), visit.who.person)

    try:
        write(visit.context, change)
    except NotFound:
        return visit.page("no_invoice.html", {}, status=404)
    except Conflict as refused:
        return _show(visit, Shown(problem=f"{refused}.", status=409))
    return see_other(f"{LIST}/{reference}")


def _resend(visit: Visit) -> Response:
    try:
        count = resend(visit)
    except NotFound:
        return visit.page("no_invoice.html", {}, status=404)
    except Conflict as refused:
        return _show(visit, Shown(problem=f"Not sent: {refused}.", status=409))
    return _show(visit, Shown(news=f"Sent again to {count} subscription{'s' * (count != 1)}."))


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


def _receivers(session: Session, msn: str) -> dict[str, str]:
    """Return what people call each subscription."""
    mine = sa.select(col(Subscription.id), col(Subscription.description)).where(
        col(Subscription.msn) == msn
    )
    return {key: name or key for key, name in session.execute(mine)}
