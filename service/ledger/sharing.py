"""The number that a customer shares by paying: asked for, taken in once, linked, sealed.

It comes with the authorized webhook or with a read; where neither has it, with Vipps's Userinfo,
which the read asks too. Source: facts, section 6.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import sqlalchemy as sa
from sqlmodel import col

from service.ledger.book import Book
from service.ledger.consent import PAGE, Consent, grant
from service.ledger.customers import change_number
from service.ledger.documents import give_to
from service.ledger.people import (
    MERCHANT,
    add_customer,
    box_of,
    by_phone,
    by_sub,
    is_withdrawn,
    know,
    know_sub,
)
from service.ledger.received import Received
from service.ledger.stored import Row
from service.store.tables import (
    Customer,
    InvoiceRecord,
    PaymentRecord,
    StoredVippsEvent,
)
from service.vault import Box, SealBroken
from statemachine import PaymentState, VippsEventName
from webhooks.vipps_event import VippsEvent

# For so long Vipps's Userinfo tells what was shared (facts, section 6).
READABLE_FOR = timedelta(hours=168)

# Userinfo is written late, mostly by moments: ask soon, then ever less often.
_ASK_AGAIN_S_MIN = 2.0
_ASK_AGAIN_S_MAX = 3600.0

# As Vipps writes it, and as people do; no country's code begins with 0.
_NUMBER = re.compile(r"\+?([1-9][0-9]{8,14})")
_NAME_LENGTH_MAX = 100


@dataclass(frozen=True, slots=True)
class Told:
    """What Vipps tells of who paid; all of it personal."""

    sub: str | None = field(default=None, repr=False)
    phone_number: str | None = field(default=None, repr=False)
    name: str | None = field(default=None, repr=False)


def told_by_vipps(sub: str | None, details: Mapping[str, object] | None) -> Told:
    """Return what `userDetails`, of a webhook or a read, tell; what is not plain counts as nothing.

    Vipps leaves empty what was not asked for."""
    members = details or {}
    names = (members.get("firstName"), members.get("lastName"))
    return Told(sub, phone_number(members.get("mobileNumber")), _name(names))


def told_by_userinfo(sub: str, body: Mapping[str, object]) -> Told:
    """Return what Userinfo tells; once its week is over its values say `[Expired]`."""
    return Told(sub, phone_number(body.get("phone_number")), _name([body.get("name")]))


def phone_number(value: object) -> str | None:
    """Return MSISDN digits, or None for what is no number."""
    found = _NUMBER.fullmatch(value.replace(" ", "")) if isinstance(value, str) else None
    return found[1] if found else None


def _name(parts: Iterable[object]) -> str | None:
    words = [part.strip() for part in parts if isinstance(part, str) and part.isprintable()]
    name = " ".join(word for word in words if word and word != "[Expired]")
    return name[:_NAME_LENGTH_MAX] or None


# On the page


def note_choice(book: Book, invoice: InvoiceRecord, wording: str | None) -> None:
    """Keep what the customer chose with the click: to share, and to which words; None: not to.

    Kept with the invoice, since the payment may have to wait for another one's end."""
    if invoice.sharing != wording:
        invoice.sharing = wording
        book.touch(invoice)


def was_refused(payments: Sequence[PaymentRecord]) -> bool:
    """Tell whether the customer has ended a payment that asked to share: all or nothing."""
    return any(p.sharing is not None and p.state == PaymentState.ABORTED for p in payments)


# What comes from Vipps


def awaits(payment: PaymentRecord) -> bool:
    """Tell whether the payment has asked for a number that is not known yet."""
    return payment.sharing is not None and payment.shared_at is None


def take_in_payer(book: Book, invoice: InvoiceRecord, payment: PaymentRecord, told: Told) -> None:
    """Know who paid and shared, with their consent; once for each payment.

    An invoice that names nobody is theirs from now on. Who was erased meanwhile stays erased,
    and who withdrew after the click has withdrawn."""
    if not awaits(payment):
        return
    addressee = book.session.get(Customer, invoice.customer_id) if invoice.customer_id else None
    is_erased = addressee is not None and addressee.erased_at is not None
    payer = None if is_erased else _payer(book, invoice.msn, told)
    if payer is None and not is_erased:
        return
    payment.shared_at = book.now
    book.touch(invoice, payment)
    if payer is None:
        return
    if told.name is not None:
        know(book, payer, name=told.name)
    if told.sub is not None:
        know_sub(book, payer, told.sub)
    _grant(book, payer, payment)
    payment.shared_by = payer.id
    box = box_of(payer, book.vault)
    if box is None:
        return
    _seal_reports(book, payment, box)
    if invoice.customer_id is None:
        invoice.customer_id = payer.id
        give_to(book, invoice, box)


def _payer(book: Book, msn: str, told: Told) -> Customer | None:
    """Return who paid: by number, else whom Vipps has called so before; None: not told yet.

    Whoever comes back with another number has changed it. Two customers are never made one: a
    number that is known is that customer's, whatever Vipps called them before."""
    known = by_sub(book, msn, told.sub) if told.sub is not None else None
    if told.phone_number is None:
        return known
    owner = by_phone(book, msn, told.phone_number)
    if owner is None and known is not None:
        change_number(book, known, told.phone_number)
        know(book, known, phoneNumber=told.phone_number)
        return known
    return owner or add_customer(book, msn, told.phone_number, consent=None)


def _grant(book: Book, payer: Customer, payment: PaymentRecord) -> None:
    """Record the consent given with the click; a merchant's own page can't undo a withdrawal."""
    if payment.sharing != MERCHANT:
        grant(book, payer, Consent(payment.created_at, PAGE, payment.sharing))
    elif not is_withdrawn(payer):
        grant(book, payer, Consent(payment.created_at, MERCHANT))


def wait_for_number(book: Book, invoice: InvoiceRecord, payment: PaymentRecord) -> None:
    """Have the payment read again while its number may still come; then tell that it does not."""
    if not awaits(payment) or payment.state != PaymentState.AUTHORIZED:
        return
    since = invoice.authorized_at if invoice.authorized_by == payment.id else payment.created_at
    age = book.now - (since or payment.created_at)
    if age < READABLE_FOR:
        wait_s = min(max(age.total_seconds() / 2, _ASK_AGAIN_S_MIN), _ASK_AGAIN_S_MAX)
        book.plan_read(payment, after_s=wait_s)
        return
    payment.shared_at = book.now
    book.touch(invoice, payment)
    book.tell(invoice, "invoice.needs_attention", "phone_number_not_told")


# Raw bodies that name a person


def is_of_a_person(event: VippsEvent) -> bool:
    """Tell whether the event says anything of who paid."""
    return event.sub is not None or event.user_details is not None


def seal_for_person(
    book: Book, invoice: InvoiceRecord, payment: PaymentRecord, received: Received, row: Row
) -> None:
    """Seal a body that tells of a person with that person's key: it goes when they are erased."""
    owner_id = payment.shared_by or invoice.customer_id
    owner = book.session.get(Customer, owner_id) if owner_id else None
    if owner is None:
        return
    box = box_of(owner, book.vault)
    # What comes again after the erasure is kept by its hash alone.
    row["raw"] = box.seal(received.raw, place=_place(row["id"])) if box else b""


def _seal_reports(book: Book, payment: PaymentRecord, box: Box) -> None:
    """Seal with the person's key what was stored of this payment before they were known."""
    for row in book.rows.vipps_events:
        if row["payment_id"] == payment.id and row["name"] == VippsEventName.AUTHORIZED:
            row["raw"] = _sealed_anew(book, row["id"], row["raw"], box)
    column = col(StoredVippsEvent.raw)
    before = sa.select(col(StoredVippsEvent.id), column).where(
        col(StoredVippsEvent.payment_id) == payment.id,
        col(StoredVippsEvent.msn) == payment.msn,
        col(StoredVippsEvent.reference) == payment.reference,
        col(StoredVippsEvent.name) == VippsEventName.AUTHORIZED,
    )
    for key, raw in book.session.execute(before).all():
        mine = sa.update(StoredVippsEvent).where(col(StoredVippsEvent.id) == key)
        book.session.execute(mine.values(raw=_sealed_anew(book, key, raw, box)))


def _sealed_anew(book: Book, event_id: str, raw: bytes, box: Box) -> bytes:
    try:
        return box.seal(book.vault.open(raw, place=_place(event_id)), place=_place(event_id))
    except SealBroken:
        return raw  # sealed with a person's own key already


def _place(event_id: str) -> str:
    return f"vipps_event:{event_id}:raw"
