"""Back from Vipps without having paid: the customer put it off, once a read says so too."""

from dataclasses import replace

import sqlalchemy as sa
from sqlmodel import col

from service.ledger.book import Book
from service.ledger.loaded import live_payment
from service.ledger.types import Ask
from service.store.tables import Act, CommandAttempt, InvoiceRecord, PaymentRecord
from service.vipps.reading import PaymentSnapshot
from service.vipps.reading import PaymentState as VippsState
from statemachine import State, Trigger

THE_CUSTOMER = Ask(actor="customer", source="customer")


def came_back(book: Book, invoice: InvoiceRecord) -> None:
    """Note that the customer is back from Vipps, and have Vipps say at once what they did.

    A request in the app leads back to nowhere: only payments of the page are meant."""
    live = live_payment(book.payments(invoice))
    if live is None or live.user_flow != "WEB_REDIRECT" or live.replacement_flow is not None:
        return
    live.returned_by = book.record_act(invoice, "return", THE_CUSTOMER).id
    book.plan_read(live)


def dismiss_who_came_back(
    book: Book,
    invoice: InvoiceRecord,
    payment: PaymentRecord,
    snapshot: PaymentSnapshot,
    *,
    read_id: str,
) -> None:
    """Call it postponed where the customer came back and Vipps says that nothing was decided."""
    act_id = payment.returned_by
    if act_id is None or not _was_read_after(book, read_id, act_id):
        return
    payment.returned_by = None
    book.touch(invoice, payment)
    is_last = book.payments(invoice)[-1] is payment
    if invoice.state == State.PUSHED and is_last and snapshot.state == VippsState.CREATED:
        evidence = replace(
            book.evidence_of(act_id),
            source="customer",
            confirmed_at=book.now,
            payment_reference=payment.reference,
        )
        book.move(invoice, book.decide(invoice, Trigger.SOFT_DISMISS), evidence)


def _was_read_after(book: Book, read_id: str, act_id: str) -> bool:
    """Tell whether the read began after the act: one that was on its way may know less."""
    noted = next((row["at"] for row in book.rows.acts if row["id"] == act_id), None)
    at = noted or book.session.execute(sa.select(col(Act.at)).where(col(Act.id) == act_id)).scalar()
    tries = sa.select(sa.func.max(col(CommandAttempt.started_at))).where(
        col(CommandAttempt.command_id) == read_id
    )
    started_at = book.session.execute(tries).scalar()
    # Acts are dated by business time, tries by real time.
    ahead = book.now - book.real_now
    return at is None or started_at is None or started_at + ahead >= at
