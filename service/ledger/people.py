"""Customers: found by keyed hash, read with their own key, asked only with consent."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import orjson
import sqlalchemy as sa
from sqlmodel import Session, col

from service.errors import Conflict, FieldError, InvalidInput
from service.ids import new_id
from service.ledger.book import Book
from service.ledger.resource import rfc3339
from service.ledger.types import NewInvoice
from service.store.inserts import table_of
from service.store.statements import Selection, insert_or_leave
from service.store.tables import Customer, InvoiceRecord, Withdrawal
from service.vault import Box, SealBroken, Vault

# Where a consent comes from that the merchant vouches for.
MERCHANT = "merchant"


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
    known = orjson.loads(box.open(customer.personal, place=_place(customer.id)))
    return Person(box, known.get("phoneNumber"), known.get("name"))


def box_of(customer: Customer, vault: Vault) -> Box | None:
    """Return the box that seals about this customer; None once the person is erased."""
    if customer.wrapped_key is None:
        return None
    return vault.customer_box(customer.id, customer.wrapped_key)


def open_sealed(
    session: Session, vault: Vault, sealed: bytes, *, place: str, customer_ids: Iterable[str | None]
) -> bytes:
    """Open what the vault has sealed, or one of these customers' own keys.

    Raises: SealBroken, also once the person is erased whose key it was."""
    try:
        return vault.open(sealed, place=place)
    except SealBroken:
        for customer_id in filter(None, customer_ids):
            customer = session.get(Customer, customer_id)
            box = box_of(customer, vault) if customer else None
            if box is not None and box.can_open(sealed):
                return box.open(sealed, place=place)
        raise


def customer_of(book: Book, msn: str, new: NewInvoice) -> str | None:
    """Return the id of the customer that a new invoice names, made if not known yet.

    Raises: InvalidInput for an unknown id, Conflict for one who is erased."""
    if new.customer_id is not None:
        known = book.session.get(Customer, new.customer_id)
        if known is None or known.msn != msn:
            raise InvalidInput(FieldError("customer.id", "there is no such customer"))
        if known.erased_at is not None:
            raise Conflict("customer_erased", "the customer has been erased")
        return known.id
    if new.phone_number is None:
        return None
    known = by_phone(book, msn, new.phone_number)
    # The number came from the merchant, who has it from the customer with consent.
    customer = known or add_customer(
        book, msn, new.phone_number, consent={"grantedAt": _now(book), "source": MERCHANT}
    )
    if new.customer_name is not None:
        know(book, customer, name=new.customer_name)
    return customer.id


def to_ask(book: Book, invoice: InvoiceRecord, user_flow: str) -> Person | None:
    """Return the person to be asked in the app; on the page the number is optional.

    Raises: Conflict, where there is no number or no consent to use it."""
    customer = book.session.get(Customer, invoice.customer_id) if invoice.customer_id else None
    person = open_person(customer, book.vault) if customer else None
    if user_flow != "PUSH_MESSAGE":
        return person if customer and may_be_asked(customer) else None
    if customer is None:
        raise Conflict("customer_missing", "nobody to ask: the invoice names no customer")
    if customer.erased_at is not None:
        raise Conflict("customer_erased", "the customer has been erased")
    if is_withdrawn(customer):
        raise Conflict("consent_withdrawn", "the customer has withdrawn consent; send the link")
    if not may_be_asked(customer):
        raise Conflict("consent_missing", "no consent of the customer is known; send the link")
    if person is None or person.phone_number is None:
        raise Conflict("phone_number_missing", "the customer's phone number is not known")
    return person


def may_be_asked(customer: Customer) -> bool:
    """Tell whether the customer agreed to be asked in the app, and still does."""
    return bool((customer.consent or {}).get("grantedAt")) and not is_withdrawn(customer)


def is_withdrawn(customer: Customer) -> bool:
    """Tell whether the customer has said that they will not be asked in the app."""
    return bool((customer.consent or {}).get("withdrawnAt"))


def by_phone(book: Book, msn: str, phone_number: str) -> Customer | None:
    """Return the customer with this number; the same number is always the same one."""
    given = {"of_msn": msn, "lookup": book.vault.phone_lookup(msn, phone_number)}
    return book.session.scalars(_BY_PHONE, given).one_or_none()


_BY_PHONE = sa.select(Customer).where(
    col(Customer.msn) == sa.bindparam("of_msn"),
    col(Customer.phone_lookup) == sa.bindparam("lookup"),
)
_withdrawal = table_of(Withdrawal).c
_WITHDRAWN = Selection(
    (_withdrawal.withdrawn_at,), key=_withdrawal.msn, equal=(_withdrawal.phone_lookup,)
)


def by_sub(book: Book, msn: str, sub: str) -> Customer | None:
    """Return the customer whom Vipps calls this, to this sales unit."""
    lookup = book.vault.sub_lookup(msn, sub)
    named = sa.select(Customer).where(col(Customer.msn) == msn, col(Customer.sub_lookup) == lookup)
    return book.session.scalars(named.order_by(col(Customer.updated_at).desc()).limit(1)).first()


def know_sub(book: Book, customer: Customer, sub: str) -> None:
    """Write what Vipps calls this customer; nobody else of the sales unit is called so now."""
    lookup = book.vault.sub_lookup(customer.msn, sub)
    others = sa.update(Customer).where(
        col(Customer.msn) == customer.msn,
        col(Customer.sub_lookup) == lookup,
        col(Customer.id) != customer.id,
    )
    book.session.execute(others.values(sub_lookup=None))
    customer.sub_lookup = lookup
    know(book, customer, sub=sub)


def add_customer(
    book: Book, msn: str, phone_number: str, *, consent: dict[str, str] | None
) -> Customer:
    """Return the customer with this number, made unless another request was faster.

    Who has withdrawn before, and was erased since, has still withdrawn."""
    lookup = book.vault.phone_lookup(msn, phone_number)
    for withdrawal in _WITHDRAWN.rows(book.session, [msn], lookup):
        consent = {"withdrawnAt": rfc3339(withdrawal["withdrawn_at"]) or ""}
    # Two requests at once may both find nobody; the index lets one in, both read it.
    insert_or_leave(
        book.session, Customer, _new_row(book, msn, phone_number) | {"consent": consent}
    )
    return book.session.scalars(_BY_PHONE, {"of_msn": msn, "lookup": lookup}).one()


def know(book: Book, customer: Customer, **told: str | None) -> None:
    """Write what was told of a customer: phoneNumber, name, sub; None forgets it."""
    box = box_of(customer, book.vault)
    if box is None or customer.personal is None:
        return  # erased: nothing is learnt of them any more
    known = orjson.loads(box.open(customer.personal, place=_place(customer.id)))
    new = {name: value for name, value in {**known, **told}.items() if value is not None}
    if new != known:
        customer.personal = box.seal(orjson.dumps(new), place=_place(customer.id))
        changed(book, customer)


def changed(book: Book, customer: Customer) -> None:
    """Note that a customer has visibly changed: their ETag must move."""
    customer.updated_at = book.now
    book.session.add(customer)


def _new_row(book: Book, msn: str, phone_number: str) -> dict[str, Any]:
    customer_id = new_id("cus")
    wrapped_key = book.vault.wrap_new_key(customer_id)
    box = book.vault.customer_box(customer_id, wrapped_key)
    sealed = box.seal(orjson.dumps({"phoneNumber": phone_number}), place=_place(customer_id))
    return {
        "id": customer_id,
        "msn": msn,
        "phone_lookup": book.vault.phone_lookup(msn, phone_number),
        "wrapped_key": wrapped_key,
        "personal": sealed,
        "created_at": book.now,
        "updated_at": book.now,
    }


def _place(customer_id: str) -> str:
    return f"customer:{customer_id}:personal"


def _now(book: Book) -> str:
    return rfc3339(book.now) or ""
