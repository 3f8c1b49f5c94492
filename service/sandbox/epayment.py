"""The ePayment API: `/epayment/v1/payments` and what is below it.

Source: developer.vippsmobilepay.com/docs/APIs/epayment-api
"""

import json
from dataclasses import replace
from functools import partial
from typing import Any

import orjson
from starlette.responses import Response
from starlette.routing import Route

from service.sandbox import documents, payments, validation
from service.sandbox.approval import approve
from service.sandbox.calls import JSON, Call, json_response
from service.sandbox.cards import EXPIRED_CARD_MINOR, REFUND_REFUSALS
from service.sandbox.fields import Faults
from service.sandbox.gate import PROBLEM, PROBLEM_SHAPE, Gate, Handle, check_headers
from service.sandbox.idempotency import Idempotency, Outcome, check_key_length, require_key
from service.sandbox.ids import redirect_token
from service.sandbox.limits import READS_MAX, WRITES_MAX, RateLimits
from service.sandbox.payments import Payment
from service.sandbox.problems import Refused, plain, refusal

_ROOT = "/epayment/v1"
_SYSTEM_HEADER_MAX = 30


class EpaymentApi:
    """Answer the calls of the ePayment API."""

    def __init__(self, gate: Gate) -> None:
        self._world = gate.world
        self._gate = gate
        self._once = Idempotency(gate.world)
        self._limits = RateLimits()

    def routes(self) -> list[Route]:
        """Return the routes, none of which catches more than its own path."""
        one = f"{_ROOT}/payments/{{reference}}"
        return [
            self._route(f"{_ROOT}/payments", "POST", handle=self._create),
            self._route(one, "GET", handle=self._get),
            self._route(f"{one}/events", "GET", handle=self._get_events),
            self._route(f"{one}/capture", "POST", handle=self._capture),
            self._route(f"{one}/refund", "POST", handle=self._refund),
            self._route(f"{one}/cancel", "POST", handle=self._cancel),
            self._route(f"{_ROOT}/test/payments/{{reference}}/approve", "POST", handle=self._force),
        ]

    def _route(self, path: str, method: str, *, handle: Handle) -> Route:
        def checked(call: Call) -> Response:
            check_headers(call, system_max=_SYSTEM_HEADER_MAX)
            return handle(call)

        return self._gate.route(path, method, handle=checked, shape=PROBLEM_SHAPE)

    def _create(self, call: Call) -> Response:
        # Counted by the reference as it was sent: without one, all payments are the same.
        self._limit_write(call, "create", reference=_sent_reference(call))
        require_key(call)
        return self._once.once(
            call, lambda: self._creation(call), conflict_code=4020, media_type=JSON
        )

    def _creation(self, call: Call) -> Outcome:
        body, now = call.json_object(), self._world.clock.now()
        _check_duplicate_metadata(call.body)
        unit = self._world.unit(call.msn)
        expires_at = validation.check_creation(body, unit, now=now)
        if self._world.payment(call.msn, body["reference"]) is not None:
            raise refusal(4150, f"The reference {body['reference']} is taken.")
        self._check_person(body)
        token = None if body["userFlow"] == "PUSH_MESSAGE" else redirect_token()
        fresh = Payment(call.msn, body["reference"], body, expires_at, redirect_token=token)
        key = require_key(call)
        payment = payments.created(fresh, now, idempotency_key=key)
        answer = documents.creation_answer(payment, self._redirect_url(payment))
        return 201, answer, lambda kept: self._world.record(payment, key=key, answer=kept)

    def _check_person(self, body: dict[str, Any]) -> None:
        phone_number = (body.get("customer") or {}).get("phoneNumber")
        if phone_number is not None and not self._world.person(phone_number).is_user:
            raise refusal(7010)

    def _get(self, call: Call) -> Response:
        payment = self._read(call, "get")
        return json_response(documents.payment_answer(payment, self._redirect_url(payment)))

    def _get_events(self, call: Call) -> Response:
        payment = self._read(call, "events")
        return json_response([documents.event_answer(payment, e) for e in payment.events])

    def _read(self, call: Call, operation: str) -> Payment:
        if self._world.settings.has_rate_limits:
            subscription_key = call.headers["ocp-apim-subscription-key"]
            key = (operation, subscription_key, call.params["reference"])
            self._limits.take(key, READS_MAX, now=call.now)
        return self._payment(call)

    def _capture(self, call: Call) -> Response:
        return self._adjust(call, "capture", conflict_code=4010)

    def _refund(self, call: Call) -> Response:
        return self._adjust(call, "refund", conflict_code=4150)

    def _adjust(self, call: Call, operation: str, *, conflict_code: int) -> Response:
        self._limit_write(call, operation, reference=call.params["reference"])
        require_key(call)
        operate = partial(self._adjustment, call, operation)
        # Vipps declares success of these operations as problem+json, and so do we.
        return self._once.once(call, operate, conflict_code=conflict_code, media_type=PROBLEM)

    def _adjustment(self, call: Call, operation: str) -> Outcome:
        payment = self._payment(call)
        amount_minor = _modification_minor(call, payment)
        now, key = self._world.clock.now(), require_key(call)
        if operation == "refund":
            self._check_refund(amount_minor)
            after = payments.refunded(payment, amount_minor, now=now, key=key)
        else:
            self._use_trouble(payment)
            after = payments.captured(payment, amount_minor, now=now, key=key)
            self._check_partial(payment, amount_minor)
        answer = documents.adjustment_answer(after)
        return 200, answer, lambda kept: self._world.record(after, key=key, answer=kept)

    def _check_refund(self, amount_minor: int) -> None:
        if self._world.settings.has_failing_amounts and amount_minor in REFUND_REFUSALS:
            raise refusal(REFUND_REFUSALS[amount_minor])

    def _use_trouble(self, payment: Payment) -> None:
        # A tester asked for it; it is used up whatever else would be wrong with the capture.
        if payment.capture_troubles:
            code, *later = payment.capture_troubles
            self._world.record(replace(payment, capture_troubles=tuple(later)))
            raise refusal(code)

    def _check_partial(self, payment: Payment, amount_minor: int) -> None:
        is_partial = amount_minor != payment.aggregate.authorized_minor
        if is_partial and not self._world.unit(payment.msn).may_capture_in_parts:
            raise refusal(6140)

    def _cancel(self, call: Call) -> Response:
        self._limit_write(call, "cancel", reference=call.params["reference"])
        check_key_length(call)
        return self._once.once(
            call, lambda: self._cancellation(call), conflict_code=4020, media_type=PROBLEM
        )

    def _cancellation(self, call: Call) -> Outcome:
        body = call.json_object() if call.body.strip() else {}
        faults, flag = Faults(), body.get("cancelTransactionOnly", False)
        faults.expect(isinstance(flag, bool), "cancelTransactionOnly", reason="Must be a boolean.")
        faults.settle()
        payment = self._payment(call)
        after = payments.cancelled(payment, self._world.clock.now(), unauthorized_only=flag)
        answer, key = documents.adjustment_answer(after), call.idempotency_key
        return 200, answer, lambda kept: self._world.record(after, key=key, answer=kept)

    def _force(self, call: Call) -> Response:
        body, payment = call.json_object(), self._payment(call)
        customer = body.get("customer")
        phone_number = customer.get("phoneNumber") if isinstance(customer, dict) else None
        if body.get("token") is not None:
            if body["token"] != payment.redirect_token:
                raise refusal(10020, "The token is not that of this payment.")
        elif phone_number is None:
            raise refusal(4140, "Either customer.phoneNumber or token is required.")
        elif not self._may_approve(payment, phone_number):
            raise refusal(10020, "The payment was sent to another customer.")
        is_expired_card = payment.amount_minor == EXPIRED_CARD_MINOR
        try:
            approve(self._world, payment, phone_number=phone_number)
        except Refused as refused:
            # Vipps's own words: an expired test card shows as a 500.
            if is_expired_card and refused.code == "10010":
                raise plain(500, "Internal server error") from refused
            raise
        return Response(status_code=200)

    def _may_approve(self, payment: Payment, phone_number: object) -> bool:
        asked = (payment.request.get("customer") or {}).get("phoneNumber")
        is_asked = asked is None or payment.redirect_token is not None or asked == phone_number
        return isinstance(phone_number, str) and is_asked

    def _payment(self, call: Call) -> Payment:
        payment = self._world.payment(call.msn, call.params["reference"])
        if payment is None:
            raise refusal(5090)
        return payment

    def _limit_write(self, call: Call, operation: str, *, reference: str) -> None:
        if self._world.settings.has_rate_limits:
            self._limits.take((operation, call.msn, reference), WRITES_MAX, now=call.now)

    def _redirect_url(self, payment: Payment) -> str | None:
        if payment.redirect_token is None:
            return None
        if payment.request["userFlow"] == "NATIVE_REDIRECT":
            return f"vipps://?token={payment.redirect_token}"
        page = "qr" if payment.request["userFlow"] == "QR" else "landing"
        base = self._world.settings.public_url.rstrip("/")
        return f"{base}/phone/{page}?token={payment.redirect_token}"


def _sent_reference(call: Call) -> str:
    try:
        body = orjson.loads(call.body)
    except orjson.JSONDecodeError:
        return ""
    reference = body.get("reference") if isinstance(body, dict) else None
    return reference if isinstance(reference, str) else ""


def _modification_minor(call: Call, payment: Payment) -> int:
    faults, amount = Faults(), call.json_object().get("modificationAmount")
    validation.check_amount_fields(amount, "modificationAmount", faults=faults)
    faults.settle()
    if not isinstance(amount, dict) or amount["currency"] != payment.currency:
        raise refusal(4040, f"The payment is in {payment.currency}.")
    if amount["value"] == 0:
        raise refusal(4040, "The amount must be more than zero.")
    return int(amount["value"])


def _check_duplicate_metadata(body: bytes) -> None:
    # Parsers keep only the last of two equal keys, so the pairs have to be looked at.
    if b'"metadata"' in body:
        json.loads(body, object_pairs_hook=_distinct)


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if isinstance(found.get("metadata"), _Doubled):
        raise refusal(4110)
    return found if len(found) == len(pairs) else _Doubled(found)


class _Doubled(dict[str, Any]):
    """An object in which a key stood twice."""
