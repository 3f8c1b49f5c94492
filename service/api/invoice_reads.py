"""What merchants read of invoices: a list, one, and one's history."""

from typing import cast

import sqlalchemy as sa
from sqlmodel import Session, col

from service.api.answers import Answer, json_answer
from service.api.calls import Call
from service.api.cursors import read_id, read_position, write_cursor
from service.api.invoices import reference_of
from service.api.query import Query
from service.api.resources import invoice_resources, stored_invoice_answer
from service.errors import FieldError, InvalidInput
from service.ledger.finding import Sought, find_invoice, invoices_sought
from service.ledger.resource import transition_resource
from service.shapes.invoices import InvoicePage, TransitionPage, TransitionResource
from service.store.tables import Invoice, Transition
from statemachine import State

_STATES = frozenset(State)
_LIST = "invoices"


async def list_invoices(call: Call) -> Answer:
    """Answer `GET /v1/invoices`: newest first, filtered."""
    query = call.query
    msn, limit, cursor = call.caller.msn, query.limit(), query.text("cursor")
    wanted = invoices_sought(msn, _sought(query))
    if cursor is not None:
        wanted = wanted.where(col(Invoice.id) < read_id(cursor, _LIST, msn))
    page = wanted.order_by(col(Invoice.id).desc()).limit(limit + 1)

    def work(session: Session) -> InvoicePage:
        found = session.scalars(page).all()
        next_cursor = write_cursor(_LIST, msn, found[limit - 1].id) if len(found) > limit else None
        items = invoice_resources(session, call.context, found[:limit])
        return {"items": items, "cursor": next_cursor}

    return json_answer(await call.read(work))


async def one_invoice(call: Call) -> Answer:
    """Answer `GET /v1/invoices/{reference}`, with its ETag."""
    reference = reference_of(call)

    def work(session: Session) -> Answer:
        invoice = find_invoice(session, call.caller.msn, reference)
        return stored_invoice_answer(session, call.context, invoice, status=200)

    return await call.read(work)


async def list_transitions(call: Call) -> Answer:
    """Answer `GET /v1/invoices/{reference}/transitions`: oldest first."""
    query, msn = call.query, call.caller.msn
    reference = reference_of(call)
    list_name, limit, cursor = f"transitions/{reference}", query.limit(), query.text("cursor")
    after = read_position(cursor, list_name, msn) if cursor is not None else 0

    def work(session: Session) -> TransitionPage:
        invoice = find_invoice(session, msn, reference)
        history = sa.select(Transition).where(
            col(Transition.invoice_id) == invoice.id, col(Transition.sequence) > after
        )
        page = history.order_by(col(Transition.sequence)).limit(limit + 1)
        rows = session.scalars(page).all()
        is_more = len(rows) > limit
        next_cursor = write_cursor(list_name, msn, rows[limit - 1].sequence) if is_more else None
        items = [cast(TransitionResource, transition_resource(row)) for row in rows[:limit]]
        return {"items": items, "cursor": next_cursor}

    return json_answer(await call.read(work))


def _sought(query: Query) -> Sought:
    states = query.several("state")
    if not _STATES.issuperset(states):
        raise InvalidInput(FieldError("state", f"is one of {', '.join(sorted(_STATES))}"))
    return Sought(
        states=[State(state) for state in states],
        customer_id=query.text("customer"),
        created_from=query.instant("createdFrom"),
        created_to=query.instant("createdTo"),
        text=query.text("q"),
    )
