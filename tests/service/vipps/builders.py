"""Values that the tests start from."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from service.vipps.answer import Answer, parse_answer
from service.vipps.bodies import PaymentRequest
from service.vipps.keys import VippsKeys

REFERENCE = "acme-2026-000123"


def some_keys(msn: str = "123456") -> VippsKeys:
    """Return a sales unit's keys."""
    return VippsKeys(msn, f"client-of-{msn}", "the-client-secret", "the-subscription-key")


def a_request(**changes: Any) -> PaymentRequest:
    """Return a request in the app, changed as named."""
    request = PaymentRequest(
        reference=REFERENCE,
        amount_minor=200_000,
        currency="NOK",
        user_flow="PUSH_MESSAGE",
        description="Invoice 123",
        return_url="https://pay.example.com/i/token?from=vipps",
        page_url="https://pay.example.com/i/token",
        invoice_id="inv_01JD0000000000000000000000",
        phone_number="4791234567",
    )
    return replace(request, **changes)


def an_answer(
    status: int | None, body: Mapping[str, object] | None = None, **changes: Any
) -> Answer:
    """Return an answer; with `code` in the shape that ePayment gives it."""
    code = changes.pop("code", None)
    members = dict(body if body is not None else _body(status, code))
    answer = Answer(status, members, code, None, None, 12)
    return replace(answer, **changes)


def a_problem(status: int, code: str | None = None) -> bytes:
    """Return the bytes of ePayment's refusal."""
    details = f'[{{"name":"ErrorCode","reason":"{code}"}}]' if code else "[]"
    text = f'{{"type":"https://httpstatuses.io/{status}","title":"No","status":{status},'
    return f'{text}"traceId":"00-5f0d-01","extraDetails":{details}}}'.encode()


def parsed(status: int, raw: bytes) -> Answer:
    """Return what these bytes say."""
    return parse_answer(status, raw, latency_ms=12)


def a_log_entry(name: str = "AUTHORIZED", **changes: Any) -> dict[str, Any]:
    """Return one entry of the event log."""
    return {
        "reference": REFERENCE,
        "pspReference": "3343121302",
        "name": name,
        "amount": {"currency": "NOK", "value": 200_000},
        "timestamp": "2026-11-22T10:00:00.123Z",
        "idempotencyKey": None,
        "success": True,
    } | changes


def a_payment(**changes: Any) -> dict[str, Any]:
    """Return an approved payment as a read tells it."""
    return {
        "aggregate": {
            "authorizedAmount": {"currency": "NOK", "value": 200_000},
            "cancelledAmount": {"currency": "NOK", "value": 0},
            "capturedAmount": {"currency": "NOK", "value": 50_000},
            "refundedAmount": {"currency": "NOK", "value": 10_000},
        },
        "amount": {"currency": "NOK", "value": 200_000},
        "state": "AUTHORIZED",
        "paymentMethod": {"type": "WALLET"},
        "profile": {"sub": "c06c4afe-d9e1-4c5d-939a-177d752a0944"},
        "pspReference": "1234567890",
        "redirectUrl": "https://landing.vipps.no?token=abc123",
        "reference": REFERENCE,
        "metadata": {"betalbar": "inv_1"},
        "captureGuaranteedUntil": "2026-11-29T10:00:00Z",
    } | changes


def _body(status: int | None, code: str | None) -> dict[str, object]:
    if status is None:
        return {}
    if status < 300:
        return {"reference": REFERENCE}
    return {"title": "No", "status": status, "extraDetails": []} if status < 500 or code else {}
