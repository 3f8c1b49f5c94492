"""Customers over the API. A phone number is never in an address: addresses end up in logs."""

from dataclasses import replace

from sqlmodel import Session

from service.api.answers import Answer, json_answer
from service.api.bodies import check, parse_json, read_body
from service.api.calls import Call
from service.api.conditions import content_etag, require_match
from service.api.cursors import read_id, write_cursor
from service.api.mutations import Effect, perform, read_mutation
from service.api.schemas import ConsentIn, CustomerChangeIn, CustomerNewIn, NothingIn, PhoneIn
from service.ledger import customers
from service.ledger.book import Book
from service.ledger.customers import BY_THE_MERCHANT, StatedConsent
from service.shapes.customers import CustomerPage, CustomersFound
from service.store.tables import Customer

_LIST = "customers"


async def create(call: Call) -> Answer:
    """Answer `POST /v1/customers`: 201, or 200 for one who is known already."""
    mutation = await read_mutation(call)
    body = check(CustomerNewIn, mutation.body)
    consent = _stated(body.consent) if "consent" in body.model_fields_set else BY_THE_MERCHANT

    def work(session: Session) -> Effect:
        require_match(mutation.if_match, None)
        book = Book(session, call.context)
        customer, is_new = customers.create_customer(
            book, call.caller.msn, body.phone_number, name=body.name, consent=consent
        )
        book.post()
        headers = {"Location": f"/v1/customers/{customer.id}"} if is_new else {}
        return Effect(_answer(call, customer, status=201 if is_new else 200, **headers))

    return await perform(call, mutation, work)


async def list_customers(call: Call) -> Answer:
    """Answer `GET /v1/customers`: newest first, without those who are erased."""
    msn, limit, cursor = call.caller.msn, call.query.limit(), call.query.text("cursor")
    before = read_id(cursor, _LIST, msn) if cursor is not None else None

    def work(session: Session) -> CustomerPage:
        found, last = customers.list_customers(session, msn, limit=limit, before=before)
        items = [customers.customer_resource(c, call.context.vault) for c in found]
        return {"items": items, "cursor": write_cursor(_LIST, msn, last) if last else None}

    return json_answer(await call.read(work))


async def search(call: Call) -> Answer:
    """Answer `POST /v1/customers/search`: who has this number, as a list of one or none."""
    body, vault = check(PhoneIn, parse_json(await read_body(call.request))), call.context.vault

    def work(session: Session) -> CustomersFound:
        found = customers.search_customers(session, vault, call.caller.msn, body.phone_number)
        return {"items": [customers.customer_resource(customer, vault) for customer in found]}

    return json_answer(await call.read(work))


async def one_customer(call: Call) -> Answer:
    """Answer `GET /v1/customers/{id}`, with its ETag."""
    find = customers.find_customer
    return await call.read(
        lambda session: _answer(call, find(session, call.caller.msn, call.path_part))
    )


async def change(call: Call) -> Answer:
    """Answer `PATCH /v1/customers/{id}`: what is named is changed, the rest stays."""
    mutation = await read_mutation(call)
    body = check(CustomerChangeIn, mutation.body)
    told: dict[str, str | None] = {}
    if body.phone_number:
        told["phoneNumber"] = body.phone_number
    if "name" in body.model_fields_set:
        told["name"] = body.name

    def work(session: Session) -> Effect:
        book = Book(session, call.context)
        customer = customers.lock_customer(book, call.caller.msn, call.path_part)
        require_match(mutation.if_match, _etag(call, customer))
        customers.change_customer(book, customer, told, _stated(body.consent))
        book.post()
        return Effect(_answer(call, customer))

    return await perform(call, mutation, work)


async def erase(call: Call) -> Answer:
    """Answer `DELETE /v1/customers/{id}`: 204; the person is forgotten, the ledger stays whole."""
    mutation = await read_mutation(call)
    check(NothingIn, mutation.body)

    def work(session: Session) -> Effect:
        book = Book(session, call.context)
        customer = customers.lock_customer(book, call.caller.msn, call.path_part)
        require_match(mutation.if_match, _etag(call, customer))
        customers.erase(book, customer)
        book.post()
        return Effect(Answer(204))

    return await perform(call, mutation, work)


def _stated(consent: ConsentIn | None) -> StatedConsent | None:
    if consent is None:
        return None
    return StatedConsent(consent.granted_at, consent.source, consent.wording, consent.withdrawn_at)


def _etag(call: Call, customer: Customer) -> str:
    return content_etag(customers.customer_resource(customer, call.context.vault))


def _answer(call: Call, customer: Customer, *, status: int = 200, **headers: str) -> Answer:
    """Return a customer as an answer, kept, should it be kept, under that person's key."""
    resource = customers.customer_resource(customer, call.context.vault)
    answer = json_answer(
        resource, status=status, headers={"ETag": content_etag(resource), **headers}
    )
    return replace(answer, customer_id=customer.id)
