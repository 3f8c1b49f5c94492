"""Consent to be asked in the app: given, withdrawn, and told to merchants.

A withdrawal is kept by the number's keyed hash too, so that it outlives the customer's row. Only a
consent given later ends it: the customer's own on the page, or one that the merchant states with
its time. A number that comes in with an invoice never does.
"""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlmodel import col

from service.errors import Conflict
from service.events.shapes import ConsentShape
from service.ledger.book import Book
from service.ledger.consequences import drop_untried, show_why_not
from service.ledger.people import changed, may_be_asked
from service.ledger.resource import rfc3339
from service.store.inserts import upsert_into
from service.store.tables import Customer, Invoice, InvoiceRecord, Payment, Withdrawal
from statemachine import PaymentState
from webhooks.instants import parse_rfc3339

# Where a consent comes from that the customer gave on the invoice page.
PAGE = "page"


@dataclass(frozen=True, slots=True)
class Consent:
    """That a customer agreed, when, through what, and to which version of the words."""

    granted_at: datetime
    source: str
    wording: str | None = None


def grant(book: Book, customer: Customer, consent: Consent) -> bool:
    """Record consent, and tell merchants; False where the customer has withdrawn since.

    Also False for one who is erased."""
    withdrawn_at = withdrawn_when(customer)
    is_outdated = withdrawn_at is not None and consent.granted_at <= withdrawn_at
    if customer.erased_at is not None or is_outdated:
        return False
    customer.consent = {
        "grantedAt": rfc3339(consent.granted_at) or "",
        "source": consent.source,
        **({"wording": consent.wording} if consent.wording else {}),
    }
    if withdrawn_at is not None:
        mine = sa.delete(Withdrawal).where(
            col(Withdrawal.msn) == customer.msn,
            col(Withdrawal.phone_lookup) == customer.phone_lookup,
        )
        book.session.execute(mine)
    changed(book, customer)
    _tell(book, "customer.consented", customer)
    return True


def withdraw(book: Book, customer: Customer, at: datetime) -> None:
    """Record that the customer will not be asked in the app any more, and tell merchants.

    What no worker has begun to ask is not asked; a request that waits in the app stays. A second
    withdrawal changes nothing."""
    if customer.erased_at is not None or withdrawn_when(customer) is not None:
        return
    customer.consent = {**(customer.consent or {}), "withdrawnAt": rfc3339(at) or ""}
    if customer.phone_lookup is not None:
        _keep(book, customer.msn, customer.phone_lookup, at)
    changed(book, customer)
    _tell(book, "customer.withdrawn", customer)
    stop_asking(book, customer, "consent_withdrawn", "the customer has withdrawn consent")


def withdrawn_when(customer: Customer) -> datetime | None:
    """Return since when the customer will not be asked, or None."""
    return parse_rfc3339((customer.consent or {}).get("withdrawnAt", ""))


def consent_on_page(book: Book, invoice: InvoiceRecord, wording: str) -> None:
    """Record that the invoice's customer agrees, on its page, to be asked in the app.

    Raises: Conflict, where nobody's number is known yet: it is shared by paying."""
    customer = _customer(book, invoice)
    if customer is None or customer.phone_lookup is None:
        raise Conflict("phone_number_missing", "the customer's phone number is not known")
    grant(book, customer, Consent(book.now, PAGE, wording))
    book.touch(invoice)


def withdraw_on_page(book: Book, invoice: InvoiceRecord) -> None:
    """Record that the invoice's customer withdraws on its page.

    Also before the number is known: then it is not taken in, whenever Vipps tells it."""
    if invoice.sharing is not None:
        invoice.sharing = None
        book.touch(invoice)
    for payment in book.payments(invoice):
        if payment.sharing is not None and payment.shared_at is None:
            payment.shared_at = book.now
            book.touch(invoice, payment)
    customer = _customer(book, invoice)
    if customer is not None and may_be_asked(customer):
        withdraw(book, customer, book.now)
        book.touch(invoice)


def stop_asking(book: Book, customer: Customer, code: str, detail: str) -> None:
    """Drop the requests to this customer that no worker has begun, and show why."""
    for invoice in load_asked(book, customer):
        if drop_untried(book, invoice):
            show_why_not(book, invoice, code, detail)


def load_asked(book: Book, customer: Customer) -> list[InvoiceRecord]:
    """Load and lock the invoices about which this customer is about to be asked in the app."""
    waiting = (
        sa.select(col(Invoice.id))
        .join_from(Invoice, Payment, col(Payment.invoice_id) == col(Invoice.id))
        .where(
            col(Invoice.customer_id) == customer.id,
            col(Payment.state) == PaymentState.REQUESTED,
            col(Payment.user_flow) == "PUSH_MESSAGE",
        )
    )
    ids = list(book.session.scalars(waiting))
    book.load(ids)
    return [book.invoice(key) for key in ids]


def _customer(book: Book, invoice: InvoiceRecord) -> Customer | None:
    if invoice.customer_id is None:
        return None
    return book.session.get(Customer, invoice.customer_id, with_for_update=True)


def _keep(book: Book, msn: str, phone_lookup: bytes, at: datetime) -> None:
    row = {"msn": msn, "phone_lookup": phone_lookup, "withdrawn_at": at}
    insert = upsert_into(book.session, Withdrawal).values(**row)
    keys = [col(Withdrawal.msn), col(Withdrawal.phone_lookup)]
    book.session.execute(insert.on_conflict_do_update(index_elements=keys, set_=row))


def _tell(book: Book, type_: str, customer: Customer) -> None:
    """Tell when and through what; the person is an id (I11)."""
    consent = customer.consent or {}
    shown: ConsentShape = {
        "grantedAt": consent.get("grantedAt"),
        "source": consent.get("source"),
        "withdrawnAt": consent.get("withdrawnAt"),
    }
    book.tell_of(type_, customer.msn, {"customer": {"id": customer.id}, "consent": shown})
