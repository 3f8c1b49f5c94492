"""Customers: found by keyed hash, read with their own key, asked only with consent."""

from dataclasses import dataclass, field
from typing import Any

import orjson
import sqlalchemy as sa
from sqlmodel import col

from service.errors import Conflict, FieldError, InvalidInput
from service.ids import new_id
from service.ledger.book import Book
from service.ledger.resource import rfc3339
from service.ledger.types import NewInvoice
from service.store.inserts import insert_or_leave
from service.store.tables import Customer, InvoiceRecord
from service.vault import Box, Vault


@dataclass(frozen=True, slots=True)
class Person:
    """What is known of a customer, opened; and the box that seals about them."""

    box: Box = field(repr=False)
    phone_number: str | None = field(repr=False)
    name: str | None = field(repr=False)


def open_person(customer: Customer, vault: Vault) -> Person | None:
    """Open a customer's personal data; None once the person is erased."""
    box = box_of(customer, vault)
    if box is None or customer.personal is None:
        return None
    known = orjson.loads(box.open(customer.personal, place=f"customer:{customer.id}:personal"))
    return Person(box, known.get("phoneNumber"), known.get("name"))


def box_of(customer: Customer, vault: Vault) -> Box | None:
    """Return the box that seals about this customer; None once the person is erased."""
    if customer.wrapped_key is None:
        return None
    return vault.customer_box(customer.id, customer.wrapped_key)


def customer_of(book: Book, msn: str, new: NewInvoice) -> str | None:
    """Return the id of the customer that a new invoice names, made if not known yet.

    Raises: InvalidInput for an unknown id."""
    if new.customer_id is not None:
        known = book.session.get(Customer, new.customer_id)
        if known is None or known.msn != msn:
            raise InvalidInput(FieldError("customer.id", "there is no such customer"))
        return known.id
    if new.phone_number is None:
        return None
    customer = _by_phone(book, msn, new.phone_number)
    _write_name(book, customer, new.customer_name)
    return customer.id


def to_ask(book: Book, invoice: InvoiceRecord, user_flow: str) -> Person | None:
    """Return the person to be asked in the app; on the page the number is optional.

    Raises: Conflict, where there is no number or no consent to use it."""
    customer = book.session.get(Customer, invoice.customer_id) if invoice.customer_id else None
    person = open_person(customer, book.vault) if customer else None
    if user_flow != "PUSH_MESSAGE":
        return person if customer and _may_ask(customer) else None
    if customer is None:
        raise Conflict("customer_missing", "nobody to ask: the invoice names no customer")
    if customer.erased_at is not None:
        raise Conflict("customer_erased", "the customer has been erased")
    if not _may_ask(customer):
        raise Conflict("consent_withdrawn", "the customer has withdrawn consent; send the link")
    if person is None or person.phone_number is None:
        raise Conflict("phone_number_missing", "the customer's phone number is not known")
    return person


def _may_ask(customer: Customer) -> bool:
    consent = customer.consent or {}
    return bool(consent.get("grantedAt")) and not consent.get("withdrawnAt")


def _by_phone(book: Book, msn: str, phone_number: str) -> Customer:
    """Return the customer with this number; the same number inline twice is the same one."""
    lookup = book.vault.phone_lookup(msn, phone_number)
    named = sa.select(Customer).where(
        col(Customer.msn) == msn, col(Customer.phone_lookup) == lookup
    )
    known = book.session.scalars(named).one_or_none()
    if known is not None:
        return known
    # Two requests at once may both find nobody; the index lets one in, both read it.
    insert_or_leave(book.session, Customer, _new_row(book, msn, lookup, phone_number))
    return book.session.scalars(named).one()


def _new_row(book: Book, msn: str, lookup: bytes, phone_number: str) -> dict[str, Any]:
    customer_id = new_id("cus")
    wrapped_key = book.vault.wrap_new_key(customer_id)
    box = book.vault.customer_box(customer_id, wrapped_key)
    place = f"customer:{customer_id}:personal"
    return {
        "id": customer_id,
        "msn": msn,
        "phone_lookup": lookup,
        "wrapped_key": wrapped_key,
        "personal": box.seal(orjson.dumps({"phoneNumber": phone_number}), place=place),
        # The number came from the merchant, who has it from the customer with consent.
        "consent": {"grantedAt": rfc3339(book.now), "source": "merchant"},
        "created_at": book.now,
        "updated_at": book.now,
    }


def _write_name(book: Book, customer: Customer, name: str | None) -> None:
    person = open_person(customer, book.vault)
    if person is None or name is None or person.name == name:
        return
    place = f"customer:{customer.id}:personal"
    sealed = person.box.open(bytes(customer.personal or b""), place=place)
    known = {**orjson.loads(sealed), "name": name}
    customer.personal = person.box.seal(orjson.dumps(known), place=place)
    customer.updated_at = book.now
    book.session.add(customer)
