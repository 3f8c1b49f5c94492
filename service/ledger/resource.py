"""How an invoice looks from outside: the resource of contract section 6."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, cast

from service.events.shapes import (
    Aggregate,
    InvoiceShape,
    Money,
    PaidElsewhereShape,
    PaymentShape,
    Problem,
)
from service.store.instants import rfc3339_of
from service.store.tables import InvoiceRecord, PaymentRecord, Transition
from service.vault import Vault
from statemachine import Amounts, PaymentState, State, available_actions

# An event stays under 20 kB: of a long chain it carries the last payments only.
EVENT_PAYMENTS_MAX = 5


def rfc3339(instant: datetime | None) -> str | None:
    """Return an instant as `2026-11-22T10:00:00.123Z`, or None."""
    return None if instant is None else rfc3339_of(instant)


def money(amount_minor: int, currency: str) -> Money:
    """Return an amount in Vipps's own shape; `value` is in minor units."""
    return {"currency": currency, "value": amount_minor}


def amounts_of(record: InvoiceRecord | PaymentRecord) -> Amounts:
    """Return the four sums of an invoice or a payment."""
    return Amounts(
        authorized=record.authorized_minor,
        captured=record.captured_minor,
        refunded=record.refunded_minor,
        cancelled=record.cancelled_minor,
    )


def invoice_resource(
    invoice: InvoiceRecord,
    payments: Sequence[PaymentRecord],
    *,
    vault: Vault,
    base_url: str,
    customer: dict[str, Any] | None,
) -> dict[str, Any]:
    """Return the whole resource; `customer` as the caller may show it."""
    shown = _resource(invoice, payments, vault=vault, base_url=base_url)
    return {**shown, "customer": customer, "orderLines": invoice.terms.get("orderLines")}


def event_invoice(
    invoice: InvoiceRecord, payments: Sequence[PaymentRecord], *, vault: Vault, base_url: str
) -> InvoiceShape:
    """Return the resource as events carry it: small, and with nobody's phone number."""
    return _resource(invoice, payments[-EVENT_PAYMENTS_MAX:], vault=vault, base_url=base_url)


def _resource(
    invoice: InvoiceRecord, payments: Sequence[PaymentRecord], *, vault: Vault, base_url: str
) -> InvoiceShape:
    terms = invoice.terms
    return {
        "reference": invoice.reference,
        "salesUnit": invoice.msn,
        "state": invoice.state,
        "sequence": invoice.sequence,
        "amount": money(invoice.amount_minor, invoice.currency),
        "aggregate": _aggregate(invoice),
        "customer": {"id": invoice.customer_id} if invoice.customer_id else None,
        "description": invoice.description,
        "kid": terms.get("kid"),
        "dueDate": invoice.due_date.isoformat() if invoice.due_date else None,
        "payableUntil": rfc3339_of(invoice.payable_until),
        "flow": invoice.flow,
        "capture": invoice.capture,
        "push": terms.get("push", True),
        "replaces": terms.get("replaces"),
        "documentUrl": terms.get("documentUrl"),
        "returnUrl": terms.get("returnUrl"),
        "metadata": terms.get("metadata"),
        "payments": [_payment(payment, vault) for payment in payments],
        "pageUrl": page_url(invoice.id, vault, base_url),
        "captureGuaranteedUntil": rfc3339(invoice.capture_guaranteed_until),
        "paidElsewhere": cast(PaidElsewhereShape | None, invoice.paid_elsewhere),
        "problem": cast(Problem | None, invoice.problem),
        "availableActions": list(actions_of(invoice)),
        "createdAt": rfc3339_of(invoice.created_at),
        "updatedAt": rfc3339_of(invoice.updated_at),
    }


def transition_resource(row: Transition) -> dict[str, Any]:
    """Return one item of an invoice's history."""
    return {
        "sequence": row.sequence,
        "from": row.from_state,
        "to": row.to_state,
        "trigger": row.trigger,
        "source": row.source,
        "occurredAt": rfc3339(row.occurred_at),
        "recordedAt": rfc3339(row.recorded_at),
        "confirmedAt": rfc3339(row.confirmed_at),
        "amount": money(row.amount_minor, row.currency),
        "payment": row.payment_reference,
        "actor": row.actor,
        "reason": row.reason,
        "hash": bytes(row.hash).hex(),
    }


def actions_of(invoice: InvoiceRecord) -> tuple[str, ...]:
    """Return what can be asked of the invoice now, as the API's last path parts."""
    return available_actions(
        State(invoice.state),
        amounts_of(invoice),
        is_paid_elsewhere=invoice.paid_elsewhere is not None,
    )


def page_url(invoice_id: str, vault: Vault, base_url: str) -> str:
    """Return the link of the invoice's page."""
    return f"{base_url}/i/{vault.page_token(invoice_id)}"


def _aggregate(invoice: InvoiceRecord) -> Aggregate:
    currency = invoice.currency
    return {
        "authorizedAmount": money(invoice.authorized_minor, currency),
        "capturedAmount": money(invoice.captured_minor, currency),
        "refundedAmount": money(invoice.refunded_minor, currency),
        "cancelledAmount": money(invoice.cancelled_minor, currency),
    }


def _payment(payment: PaymentRecord, vault: Vault) -> PaymentShape:
    return {
        "reference": payment.reference,
        "attempt": payment.attempt,
        "state": payment.state,
        "pspReference": payment.psp_reference,
        "userFlow": payment.user_flow,
        "expiresAt": rfc3339(payment.expires_at),
        "redirectUrl": redirect_url(payment, vault),
    }


def redirect_url(payment: PaymentRecord, vault: Vault) -> str | None:
    """Return where the customer pays, while there is something to pay."""
    if payment.redirect_url is None or payment.state != PaymentState.CREATED:
        return None
    return vault.open(payment.redirect_url, place=f"payment:{payment.id}:redirect_url").decode()
