"""The next payment of an invoice's chain: its reference, its life, its request to Vipps."""

from collections.abc import Collection, Iterator
from datetime import datetime, timedelta
from itertools import count
from typing import Any, cast

import sqlalchemy as sa
from sqlmodel import Session, col

from service.errors import Conflict
from service.ids import new_id
from service.kinds import CommandKind
from service.ledger import people
from service.ledger.book import Book
from service.ledger.resource import page_url
from service.store.statements import insert_or_leave
from service.store.tables import InvoiceRecord, PaymentRecord, ReferenceClaim
from service.vipps.bodies import PaymentRequest, UserFlow, create_payment_body, payment_expires_at
from statemachine import PaymentState

# Vipps ends a payment without `expiresAt` after ten minutes (facts, section 1).
DEFAULT_LIFE = timedelta(minutes=10)

# All that invoices need to know; who does not share it all can't pay (facts, section 6).
SCOPE = "phoneNumber"


def start_payment(
    book: Book, invoice: InvoiceRecord, *, user_flow: str, act_id: str | None = None
) -> PaymentRecord:
    """Decide the next payment: its row, and the commands that make it at Vipps.

    The reference is ours before Vipps hears of it, so that no webhook can come too early.
    Raises: Conflict, where the invoice can't be paid in time or the person not be asked."""
    if invoice.payable_until <= book.now:
        raise Conflict("payable_until_passed", "payableUntil has passed; name a new one")
    payment = _new_payment(book, invoice, _next_reference(book, invoice), user_flow)
    person = people.to_ask(book, invoice, user_flow)
    if user_flow == "WEB_REDIRECT" and person is None:
        payment.sharing = invoice.sharing  # nobody is asked for a number that may be used already
    request = _request(book, invoice, payment, person)
    book.add_payment(invoice, payment)
    if user_flow == "PUSH_MESSAGE" and book.settings.is_vipps_production:
        link = {"orderDetailsUrl": request.page_url}
        book.plan(payment, CommandKind.ATTACH_CATEGORY, body=link, act_id=act_id)
    book.plan(
        payment,
        CommandKind.CREATE_PAYMENT,
        body=create_payment_body(request),
        box=person.box if person else None,
        act_id=act_id,
    )
    return payment


def adopt(book: Book, invoice: InvoiceRecord, reference: str, *, user_flow: str) -> PaymentRecord:
    """Take a payment into the chain that Vipps has and a restored database does not know.

    What became of it a read tells; when it ends is not known, so the latest end that there can be
    stands for it. Until then it does not count as alive: one that it took the
    place of may still seem to be."""
    claim_reference(book.session, invoice.msn, reference, invoice.id)
    payment = _new_payment(book, invoice, reference, user_flow)
    payment.state = PaymentState.REFUSED
    book.add_payment(invoice, payment)
    return payment


def ask_anew(
    book: Book, invoice: InvoiceRecord, payment: PaymentRecord, *, expires_at: datetime | None
) -> None:
    """Decide to ask for a payment once more, which Vipps does not have: another body and key.

    Raises: Conflict, where the person may not be asked any more."""
    payment.expires_at = expires_at
    payment.ends_at = expires_at or book.now + DEFAULT_LIFE
    person = people.to_ask(book, invoice, payment.user_flow)
    body = create_payment_body(_request(book, invoice, payment, person))
    book.touch(invoice, payment)
    box = person.box if person else None
    book.plan(payment, CommandKind.CREATE_PAYMENT, body=body, box=box)


def was_made(payment: PaymentRecord, at: datetime) -> None:
    """Note when Vipps has made a payment: its life, and the customer's time, begin then."""
    payment.created_at = at
    if payment.expires_at is None:
        payment.ends_at = at + DEFAULT_LIFE


def expires_at_if_made_now(book: Book, invoice: InvoiceRecord, user_flow: str) -> datetime | None:
    """Return when a payment made now ends; on the page's flow Vipps's ten minutes are right."""
    if user_flow != "PUSH_MESSAGE":
        return None
    lifetime_s = book.sales_unit(invoice.msn).max_payment_lifetime_s
    return payment_expires_at(book.now, invoice.payable_until, lifetime_s)


def claim_reference(session: Session, msn: str, reference: str, invoice_id: str) -> bool:
    """Take a name in the sales unit's one namespace; False where another invoice has it."""
    row = {"msn": msn, "reference": reference, "invoice_id": invoice_id}
    if insert_or_leave(session, ReferenceClaim, row):
        return True
    owner = sa.select(col(ReferenceClaim.invoice_id)).where(
        col(ReferenceClaim.msn) == msn, col(ReferenceClaim.reference) == reference
    )
    return session.execute(owner).scalar() == invoice_id


def _new_payment(
    book: Book, invoice: InvoiceRecord, reference: str, user_flow: str
) -> PaymentRecord:
    attempt = len(book.payments(invoice)) + 1
    expires_at = expires_at_if_made_now(book, invoice, user_flow)
    return PaymentRecord(
        id=new_id("pay"),
        msn=invoice.msn,
        invoice_id=invoice.id,
        attempt=attempt,
        reference=reference,
        user_flow=user_flow,
        state=PaymentState.REQUESTED,
        expires_at=expires_at,
        ends_at=expires_at or book.now + DEFAULT_LIFE,
        then_ask=user_flow == "WEB_REDIRECT" and _takes_the_apps_place(book, invoice),
        created_at=book.now,
        updated_at=book.now,
    )


def _way_back(page: str, user_flow: str) -> str:
    """Return where Vipps sends the customer: who comes back there is known to have been away."""
    return f"{page}/back" if user_flow == "WEB_REDIRECT" else page


def _takes_the_apps_place(book: Book, invoice: InvoiceRecord) -> bool:
    """Tell whether the last payment was withdrawn from the app to be paid another way."""
    last = next(reversed(book.payments(invoice)), None)
    if last is None or last.state != PaymentState.TERMINATED:
        return False
    return last.user_flow == "PUSH_MESSAGE" or last.then_ask


def names_to_come(reference: str, used: Collection[str]) -> Iterator[str]:
    """Yield the names that an invoice's next payments would have, without end.

    The invoice's own reference, then `-2`, `-3`, … (contract, section 2)."""
    if reference not in used:
        yield reference
    for number in count(max(len(used) + 1, 2)):
        name = f"{reference}-{number}"
        if name not in used:
            yield name


def _next_reference(book: Book, invoice: InvoiceRecord) -> str:
    """Return the first of these names that no other invoice has taken."""
    used = {payment.reference for payment in book.payments(invoice)}
    return next(
        name
        for name in names_to_come(invoice.reference, used)
        if claim_reference(book.session, invoice.msn, name, invoice.id)
    )


def _request(
    book: Book, invoice: InvoiceRecord, payment: PaymentRecord, person: people.Person | None
) -> PaymentRequest:
    page = page_url(invoice.id, book.vault, book.settings.base_url)
    lines: list[dict[str, Any]] = invoice.terms.get("orderLines") or []
    return PaymentRequest(
        reference=payment.reference,
        amount_minor=invoice.amount_minor,
        currency=invoice.currency,
        user_flow=cast(UserFlow, payment.user_flow),  # a CHECK holds the two values
        phone_number=person.phone_number if person else None,
        expires_at=payment.expires_at,
        description=invoice.description,
        return_url=invoice.terms.get("returnUrl") or _way_back(page, payment.user_flow),
        page_url=page,
        invoice_id=invoice.id,
        order_lines=tuple(lines),
        scope=SCOPE if payment.sharing else None,
    )
