"""Customers who pay by link, and share their number or not."""

from typing import Any

import orjson

from service.ledger.acts import push
from service.ledger.sharing import note_choice
from service.ledger.types import Ask
from service.store.db import Database
from tests.builders import PHONE, REFERENCE, Desk, VippsPayment, a_desk

WORDING = "2026-11"
SUB = "c06c4afe-d9e1-4c5d-939a-177d752a0944"
DETAILS = {"email": "", "firstName": "", "lastName": "", "mobileNumber": PHONE, "addresses": []}


def clicks(desk: Desk, wording: str | None = WORDING, reference: str = REFERENCE) -> VippsPayment:
    """Let the customer click on the page; return the payment that Vipps makes."""

    def work(book: Any) -> str:
        invoice = book.invoice_by_reference("123456", reference)
        note_choice(book, invoice, wording)
        push(book, invoice, Ask(actor="customer", source="customer"), user_flow="WEB_REDIRECT")
        return str(book.payments(invoice)[-1].reference)

    vipps = VippsPayment(reference=desk.write(work), at=desk.now())
    desk.settle_commands()
    desk.report(vipps.happens("CREATED"))
    return vipps


def a_clicked_desk(database: Database, wording: str | None = WORDING) -> tuple[Desk, VippsPayment]:
    """Return a ledger with an invoice by link whose customer is at Vipps now."""
    desk = a_desk(database)
    desk.create(phone_number=None, flow="WEB_REDIRECT")
    return desk, clicks(desk, wording)


def create_body(desk: Desk) -> dict[str, Any]:
    """Return what was last sent to Vipps to make a payment, sealed by the vault."""
    command = desk.commands("create_payment")[-1]
    opened = desk.context.vault.open(command.body or b"", place=f"command:{command.id}:body")
    body: dict[str, Any] = orjson.loads(opened)
    return body
