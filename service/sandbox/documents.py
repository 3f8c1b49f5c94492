"""The JSON of a payment, as each reader gets it: merchant, webhook, tester, file."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson

from service.sandbox.clock import as_text
from service.sandbox.payments import Payment, PaymentEvent, State

Json = dict[str, Any]


def amount(value_minor: int, currency: str) -> Json:
    """Return Vipps's amount object."""
    return {"currency": currency, "value": value_minor}


def creation_answer(payment: Payment, redirect_url: str | None) -> Json:
    """Return what create answers; a pushed payment has no `redirectUrl`."""
    if redirect_url is None:
        return {"reference": payment.reference}
    return {"redirectUrl": redirect_url, "reference": payment.reference}


def payment_answer(payment: Payment, redirect_url: str | None) -> Json:
    """Return the payment as its merchant reads it; never the receipt."""
    optional = {
        "redirectUrl": redirect_url,
        "metadata": payment.request.get("metadata"),
        "userDetails": payment.user_details,
        "captureGuaranteedUntil": _guaranteed_until(payment),
    }
    return {
        "aggregate": aggregate_answer(payment),
        "amount": amount(payment.amount_minor, payment.currency),
        "state": payment.state,
        "paymentMethod": {"type": payment.request["paymentMethod"]["type"]},
        "profile": {} if payment.sub is None else {"sub": payment.sub},
        "pspReference": payment.events[0].psp_reference,
        "reference": payment.reference,
    } | {name: value for name, value in optional.items() if value is not None}


def _guaranteed_until(payment: Payment) -> str | None:
    # Written with an offset where all other instants have a Z, as Vipps's example has it.
    until = payment.capture_guaranteed_until
    return None if until is None else until.isoformat(timespec="milliseconds")


def aggregate_answer(payment: Payment) -> Json:
    """Return the four sums."""
    sums = payment.aggregate
    return {
        "authorizedAmount": amount(sums.authorized_minor, payment.currency),
        "cancelledAmount": amount(sums.cancelled_minor, payment.currency),
        "capturedAmount": amount(sums.captured_minor, payment.currency),
        "refundedAmount": amount(sums.refunded_minor, payment.currency),
    }


def adjustment_answer(payment: Payment) -> Json:
    """Return what capture, refund and cancel answer.

    Its `pspReference` is that of the creation, never that of the operation.
    """
    return {
        "amount": amount(payment.amount_minor, payment.currency),
        "state": payment.state,
        "aggregate": aggregate_answer(payment),
        "pspReference": payment.events[0].psp_reference,
        "reference": payment.reference,
    }


def event_answer(payment: Payment, event: PaymentEvent) -> Json:
    """Return one entry of the event log."""
    entry: Json = {
        "reference": payment.reference,
        "pspReference": event.psp_reference,
        "name": event.name,
        "amount": amount(event.amount_minor, payment.currency),
        "timestamp": as_text(event.occurred_at),
    }
    if event.idempotency_key is not None:
        entry["idempotencyKey"] = event.idempotency_key
    entry["success"] = event.success
    return entry


def webhook_body(payment: Payment, event: PaymentEvent) -> bytes:
    """Return the bytes of the webhook: compact JSON in the order real ones have."""
    entry: Json = {"msn": payment.msn} | event_answer(payment, event)
    if event.name == "AUTHORIZED" and event.success:
        if payment.sub is not None:
            entry |= {"userDetails": payment.user_details, "sub": payment.sub}
        entry["captureGuaranteedUntil"] = _guaranteed_until(payment)
    return orjson.dumps(entry)


def effect(
    payment: Payment, event: PaymentEvent, *, key: str | None, recorded_at: datetime
) -> Json:
    """Return the ledger line that says this really happened, and for which request."""
    return {
        "effect": event.name.lower(),
        "msn": payment.msn,
        "reference": payment.reference,
        "pspReference": event.psp_reference,
        "amount": amount(event.amount_minor, payment.currency),
        "success": event.success,
        "idempotencyKey": key,
        "occurredAt": as_text(event.occurred_at),
        "recordedAt": as_text(recorded_at),
    }


def inspection(payment: Payment, category: Mapping[str, Any] | None) -> Json:
    """Return everything the sandbox knows of the payment, for testers."""
    return {
        "msn": payment.msn,
        "reference": payment.reference,
        "state": payment.state,
        "amount": amount(payment.amount_minor, payment.currency),
        "aggregate": aggregate_answer(payment),
        "expiresAt": as_text(payment.expires_at),
        "isAuthorizing": payment.is_authorizing,
        "captureTroubles": payment.capture_troubles,
        "isPostponed": payment.is_postponed,
        "detailsOpened": payment.details_opened,
        "orderDetailsUrl": None if category is None else category["orderDetailsUrl"],
        "sub": payment.sub,
        "userDetails": payment.user_details,
        "request": payment.request,
        "events": [event_answer(payment, event) for event in payment.events],
    }


def payment_of_row(row: Json) -> Payment:
    """Return the payment that the file kept."""
    events = tuple(
        PaymentEvent(**event | {"occurred_at": datetime.fromisoformat(event["occurred_at"])})
        for event in row["events"]
    )
    instants = {
        name: row[name] and datetime.fromisoformat(row[name])
        for name in ("expires_at", "settles_at", "capture_guaranteed_until")
    }
    troubles = tuple(row["capture_troubles"])
    return Payment(
        **row
        | instants
        | {"events": events, "capture_troubles": troubles, "state": State(row["state"])}
    )
