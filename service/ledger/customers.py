"""What merchants do with customers: made, found, changed, erased; always within a sales unit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, col

from service.errors import Conflict, FieldError, InvalidInput, NotFound
from service.ledger.book import Book
from service.ledger.consent import (
    Consent,
    grant,
    load_asked,
    stop_asking,
    withdraw,
    withdrawn_when,
)
from service.ledger.documents import drop_documents_of
from service.ledger.people import MERCHANT, add_customer, by_phone, changed, know, open_person
from service.shapes.customers import ConsentResource, CustomerResource
from service.store.instants import rfc3339_of
from service.store.tables import Customer, Withdrawal
from service.vault import Vault
from webhooks.instants import parse_rfc3339

# A merchant's clock may be ahead of ours: what was said "now" is not refused for that.
_AHEAD_MAX = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class StatedConsent:
    """A consent as a merchant states it; without a time of its own it was given now."""

    granted_at: datetime | None = None
    source: str | None = None
    wording: str | None = None
    withdrawn_at: datetime | None = None

    @property
    def is_grant(self) -> bool:
        """Tell whether it says that the customer agreed."""
        return any((self.granted_at, self.source, self.wording))


# What is taken for granted where a merchant gives a number and says nothing of consent: the same
# as for a number that comes with an invoice (contract, section 5).
BY_THE_MERCHANT = StatedConsent(source=MERCHANT)


def create_customer(
    book: Book, msn: str, phone_number: str, *, name: str | None, consent: StatedConsent | None
) -> tuple[Customer, bool]:
    """Return the customer with this number, and whether they are new; None: no consent known.

    Whoever is known already is returned if nothing else is said of them. Raises: Conflict
    (`phone_number_taken`) where it is; InvalidInput."""
    known = by_phone(book, msn, phone_number)
    if known is not None:
        person = open_person(known, book.vault)
        is_same = name is None or (person is not None and person.name == name)
        if not is_same or consent not in (None, BY_THE_MERCHANT):
            raise Conflict("phone_number_taken", f"{known.id} has this number; change that one")
        return known, False
    customer = add_customer(book, msn, phone_number, consent=None)
    if name is not None:
        know(book, customer, name=name)
    is_silent = consent == BY_THE_MERCHANT and withdrawn_when(customer) is not None
    if consent is not None and not is_silent:
        state_consent(book, customer, consent)
    return customer, True


def change_customer(
    book: Book, customer: Customer, told: Mapping[str, str | None], consent: StatedConsent | None
) -> None:
    """Change what is known of a customer: `phoneNumber`, `name` (None forgets it), consent.

    Raises: Conflict (`phone_number_taken`), InvalidInput."""
    number = told.get("phoneNumber")
    if number is not None:
        change_number(book, customer, number)
    know(book, customer, **told)
    if consent is not None:
        state_consent(book, customer, consent)


def erase(book: Book, customer: Customer) -> None:
    """Forget the person: their key is dropped, and all that it seals is unreadable from now on.

    Their invoices, the amounts and the history stay. A withdrawal stays too, as a keyed hash."""
    stop_asking(book, customer, "customer_erased", "the customer has been erased")
    drop_documents_of(book.session, customer.id)
    customer.phone_lookup = None
    customer.sub_lookup = None
    customer.wrapped_key = None
    customer.personal = None
    customer.consent = None
    customer.erased_at = book.now
    changed(book, customer)


def state_consent(book: Book, customer: Customer, stated: StatedConsent) -> None:
    """Take over what a merchant says of a customer's consent. Raises: InvalidInput."""
    granted_at = (stated.granted_at or book.now) if stated.is_grant else None
    _require_sense(book, customer, granted_at, stated.withdrawn_at)
    if granted_at is not None:
        consent = Consent(granted_at, stated.source or MERCHANT, stated.wording)
        is_over = withdrawn_when(customer) is not None and stated.withdrawn_at is not None
        if not is_over and not grant(book, customer, consent):
            reason = "lies before the customer's withdrawal"
            raise InvalidInput(FieldError("consent.grantedAt", reason))
    if stated.withdrawn_at is not None:
        withdraw(book, customer, stated.withdrawn_at)


def find_customer(session: Session, msn: str, customer_id: str) -> Customer:
    """Return a sales unit's customer. Raises: NotFound, also for one who is erased."""
    customer = session.get(Customer, customer_id)
    if customer is None or customer.msn != msn or customer.erased_at is not None:
        raise NotFound("there is no such customer")
    return customer


def lock_customer(book: Book, msn: str, customer_id: str) -> Customer:
    """Return a customer to be changed; invoices are locked first, as everywhere.

    Raises: NotFound."""
    load_asked(book, find_customer(book.session, msn, customer_id))
    book.session.get(Customer, customer_id, with_for_update=True)
    return find_customer(book.session, msn, customer_id)


def list_customers(
    session: Session, msn: str, *, limit: int, before: str | None
) -> tuple[Sequence[Customer], str | None]:
    """Return a page, newest first, and the id after which the next one begins."""
    mine = sa.select(Customer).where(col(Customer.msn) == msn, col(Customer.erased_at).is_(None))
    if before is not None:
        mine = mine.where(col(Customer.id) < before)
    found = session.scalars(mine.order_by(col(Customer.id).desc()).limit(limit + 1)).all()
    return found[:limit], found[limit - 1].id if len(found) > limit else None


def search_customers(session: Session, vault: Vault, msn: str, number: str) -> Sequence[Customer]:
    """Return who has this number: one or nobody. Only a keyed hash of it is compared."""
    lookup = vault.phone_lookup(msn, number)
    named = sa.select(Customer).where(
        col(Customer.msn) == msn, col(Customer.phone_lookup) == lookup
    )
    return session.scalars(named).all()


def customer_resource(customer: Customer, vault: Vault) -> CustomerResource:
    """Return a customer as the API shows them."""
    person = open_person(customer, vault)
    consent = customer.consent
    return {
        "id": customer.id,
        "phoneNumber": person.phone_number if person else None,
        "name": person.name if person else None,
        "consent": _consent_resource(consent) if consent else None,
        "createdAt": rfc3339_of(customer.created_at),
        "updatedAt": rfc3339_of(customer.updated_at),
    }


def _consent_resource(consent: Mapping[str, Any]) -> ConsentResource:
    return {
        "grantedAt": consent.get("grantedAt"),
        "source": consent.get("source"),
        "wording": consent.get("wording"),
        "withdrawnAt": consent.get("withdrawnAt"),
    }


def change_number(book: Book, customer: Customer, number: str) -> None:
    """Know the customer by another number from now on; what they have withdrawn stays withdrawn.

    Raises: Conflict (`phone_number_taken`)."""
    other = by_phone(book, customer.msn, number)
    if other is not None and other.id != customer.id:
        raise Conflict("phone_number_taken", f"{other.id} has this number")
    customer.phone_lookup = book.vault.phone_lookup(customer.msn, number)
    withdrawn_at = withdrawn_when(customer)
    if withdrawn_at is not None:
        # Who will not be asked will not be asked at another number either.
        customer.consent = {k: v for k, v in (customer.consent or {}).items() if k != "withdrawnAt"}
        withdraw(book, customer, withdrawn_at)
        return
    withdrawal = book.session.get(Withdrawal, (customer.msn, customer.phone_lookup))
    if withdrawal is not None:
        withdraw(book, customer, withdrawal.withdrawn_at)


def _require_sense(
    book: Book, customer: Customer, granted_at: datetime | None, withdrawn_at: datetime | None
) -> None:
    for name, at in (("grantedAt", granted_at), ("withdrawnAt", withdrawn_at)):
        if at is not None and at > book.now + _AHEAD_MAX:
            raise InvalidInput(FieldError(f"consent.{name}", "lies in the future"))
    known = parse_rfc3339((customer.consent or {}).get("grantedAt", ""))
    granted = granted_at or known
    if withdrawn_at is not None and granted is not None and withdrawn_at < granted:
        raise InvalidInput(FieldError("consent.withdrawnAt", "lies before grantedAt"))
