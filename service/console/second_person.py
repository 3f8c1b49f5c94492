"""Refunds above what one person may give alone: asked for by one, agreed to by another.

What counts is all that an invoice has given back with this refund, so that two small ones are no
way around it. Merchants' systems refund by the API under keys of their own; this is for people.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlmodel import Session, col

from service.errors import Conflict, NotFound
from service.ids import new_id
from service.kinds import CommandKind
from service.ledger import acts
from service.ledger.book import Book
from service.ledger.resource import amounts_of
from service.ledger.types import Ask
from service.ledger.under_way import total_minor, under_way
from service.staff.signing_in import note
from service.staff.users import Person, user_id_of
from service.store.tables import InvoiceRecord, RefundRequest


def is_needed(book: Book, invoice: InvoiceRecord, amount_minor: int | None) -> bool:
    """Tell whether one person alone may not refund so much; None: all that remains."""
    alone_minor = book.settings.refund_alone_max_minor
    if not alone_minor:
        return False
    given_minor = invoice.refunded_minor + _on_its_way(book, invoice)
    wanted_minor = _remaining(book, invoice) if amount_minor is None else amount_minor
    return given_minor + wanted_minor > alone_minor


def ask_for_one(book: Book, invoice: InvoiceRecord, ask: Ask) -> None:
    """Let a refund wait for a second person. Raises: Conflict."""
    acts.require(book, invoice, "refund")
    remaining = _remaining(book, invoice)
    amount_minor = remaining if ask.amount_minor is None else ask.amount_minor
    if amount_minor > remaining or remaining <= 0:
        detail = f"{max(remaining, 0)} remain, commands under way counted"
        raise Conflict("amount_too_high", detail)
    if waiting(book.session, invoice.id):
        raise Conflict("refund_waits", "another refund waits for a second person already")
    asked_by = user_id_of(ask.actor)
    request = RefundRequest(
        id=new_id("rfr"),
        msn=invoice.msn,
        invoice_id=invoice.id,
        amount_minor=amount_minor,
        reason=ask.reason or "",
        asked_by=asked_by,
        asked_at=book.real_now,
    )
    book.session.add(request)
    _note(book, invoice, asked_by, "refund.asked", request)


def agree(book: Book, invoice: InvoiceRecord, request_id: str, person: Person) -> None:
    """Refund what another person has asked for, as the second one. Raises: Conflict, NotFound."""
    request = _find(book, invoice, request_id)
    if request.asked_by == person.id:
        raise Conflict("second_person_needed", "whoever asks for a refund can't agree to it")
    reason = f"{request.reason} (asked for by user:{request.asked_by})"
    ask = Ask(person.actor, "operator", request.amount_minor, invoice.currency, reason)
    acts.refund(book, invoice, ask)
    _decide(book, invoice, request, person, is_agreed=True)


def decline(book: Book, invoice: InvoiceRecord, request_id: str, person: Person) -> None:
    """Let it be, as the second person or as the one who asked. Raises: Conflict, NotFound."""
    request = _find(book, invoice, request_id)
    _decide(book, invoice, request, person, is_agreed=False)


def waiting(session: Session, invoice_id: str) -> Sequence[RefundRequest]:
    """Return what of an invoice waits for a second person: one, or none."""
    mine = sa.select(RefundRequest).where(
        col(RefundRequest.invoice_id) == invoice_id, sa.text("refund_request.decided_at IS NULL")
    )
    return session.scalars(mine).all()


def _find(book: Book, invoice: InvoiceRecord, request_id: str) -> RefundRequest:
    request = book.session.get(RefundRequest, request_id, with_for_update=True)
    if request is None or request.invoice_id != invoice.id:
        raise NotFound("there is no such refund to decide on")
    if request.decided_at is not None:
        raise Conflict("changed_meanwhile", "somebody has decided on it already")
    return request


def _decide(
    book: Book, invoice: InvoiceRecord, request: RefundRequest, person: Person, *, is_agreed: bool
) -> None:
    request.decided_by, request.decided_at = person.id, book.real_now
    request.is_agreed = is_agreed
    book.session.add(request)
    name = "refund.agreed" if is_agreed else "refund.declined"
    _note(book, invoice, person.id, name, request)


def _note(
    book: Book, invoice: InvoiceRecord, user_id: str, name: str, request: RefundRequest
) -> None:
    note(
        book.session,
        user_id,
        name,
        now=book.real_now,
        msn=invoice.msn,
        subject=invoice.reference,
        reason=request.reason,
    )


def _on_its_way(book: Book, invoice: InvoiceRecord) -> int:
    return total_minor(under_way(book, invoice), CommandKind.REFUND)


def _remaining(book: Book, invoice: InvoiceRecord) -> int:
    return amounts_of(invoice).remaining_to_refund - _on_its_way(book, invoice)
