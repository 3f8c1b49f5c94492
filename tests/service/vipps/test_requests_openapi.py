"""Every request that the client can make, held against Vipps's own specification."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft4Validator
from openapi_core.exceptions import OpenAPIError

from service.vipps.answer import Answer
from service.vipps.bodies import PaymentRequest, create_payment_body, modification_body
from service.vipps.client import VippsClient
from tests.service.vipps import openapi
from tests.service.vipps.builders import REFERENCE, a_request, some_keys
from tests.service.vipps.fake_vipps import FakeVipps

pytestmark = openapi.needs_openapi

KEYS = some_keys()
PUSH = a_request(expires_at=datetime(2026, 12, 1, 12, 0, 5, tzinfo=UTC))
LINES = (
    {
        "name": "Travel insurance",
        "id": "12345",
        "totalAmount": 200_000,
        "totalAmountExcludingTax": 160_000,
        "totalTaxAmount": 40_000,
        "taxRate": 2500,
        "unitInfo": {"unitPrice": 100_000, "quantity": "2", "quantityUnit": "PCS"},
        "discount": 0,
        "isReturn": False,
        "isShipping": False,
    },
)
LINK = a_request(user_flow="WEB_REDIRECT", phone_number=None, scope="phoneNumber")

Act = Callable[[VippsClient], Awaitable[Answer]]


def _create(request: PaymentRequest) -> Act:
    body = create_payment_body(request)
    return lambda c: c.create_payment(KEYS, body, idempotency_key="cmd_01JD-1")


def _cancel(*, only_before_authorization: bool) -> Act:
    return lambda c: c.cancel_payment(
        KEYS,
        REFERENCE,
        only_before_authorization=only_before_authorization,
        idempotency_key="k" * 50,
    )


ACTS: dict[str, Act] = {
    "category": lambda c: c.put_category(KEYS, REFERENCE, "https://pay.example.com/i/t"),
    "push": _create(PUSH),
    "push_with_lines": _create(replace(PUSH, order_lines=LINES)),
    "push_without_expiry": _create(a_request()),
    "link": _create(LINK),
    "link_without_scope": _create(replace(LINK, scope=None)),
    "withdraw": _cancel(only_before_authorization=True),
    "release": _cancel(only_before_authorization=False),
    "capture": lambda c: c.modify_payment(
        KEYS, REFERENCE, act="capture", body=modification_body(100, "NOK"), idempotency_key="k"
    ),
    "refund": lambda c: c.modify_payment(
        KEYS, REFERENCE, act="refund", body=modification_body(100, "NOK"), idempotency_key="k"
    ),
    "get": lambda c: c.get_payment(KEYS, REFERENCE),
    "events": lambda c: c.get_events(KEYS, REFERENCE),
    "register": lambda c: c.register_webhook(
        KEYS, "https://pay.example.com/webhooks/vipps/123456", ["epayments.payment.created.v1"]
    ),
    "list": lambda c: c.list_webhooks(KEYS),
    "delete": lambda c: c.delete_webhook(KEYS, "497f6eca-6276-4993-bfeb-53cbbbba6f08"),
}


@pytest.mark.anyio
@pytest.mark.parametrize("name", ACTS)
async def test_request_of_each_kind_is_what_vipps_specifies(name: str) -> None:
    """Whatever we ask of Vipps, path, headers and body are as its specification has them."""
    vipps = FakeVipps()

    await ACTS[name](vipps.client())

    assert len(vipps.calls) == 1
    for request in vipps.requests:
        openapi.check(request)


@pytest.mark.anyio
@pytest.mark.parametrize("header", ["Idempotency-Key", "Merchant-Serial-Number", "Authorization"])
async def test_check_without_a_needed_header_fails(header: str) -> None:
    """The check is one: a request that lacks a needed header does not pass it."""
    vipps = FakeVipps()
    await ACTS["capture"](vipps.client())
    request = vipps.calls[0]

    del request.headers[header]

    with pytest.raises(OpenAPIError):
        openapi.check(request)


def _amounts() -> st.SearchStrategy[tuple[str, int]]:
    return st.sampled_from([("NOK", 100), ("DKK", 1), ("EUR", 1)]).flatmap(
        lambda pair: st.tuples(st.just(pair[0]), st.integers(pair[1], 65_000_000))
    )


def _requests() -> st.SearchStrategy[PaymentRequest]:
    def build(amount: tuple[str, int], text: str, flow: Any, *, at: datetime | None) -> Any:
        is_push = flow == "PUSH_MESSAGE"
        return a_request(
            currency=amount[0],
            amount_minor=amount[1],
            description=text,
            user_flow=flow,
            phone_number="4791234567" if is_push else None,
            expires_at=at if is_push else None,
        )

    instants = st.integers(1, 10**9).map(lambda s: datetime.fromtimestamp(s, UTC))
    return st.builds(
        build,
        _amounts(),
        st.text(min_size=3, max_size=100),
        st.sampled_from(["PUSH_MESSAGE", "WEB_REDIRECT"]),
        at=st.none() | instants,
    )


@cache
def _body_validator() -> Draft4Validator:
    schemas = openapi.load("epayment-1.8.1.yaml")["components"]["schemas"]
    openapi.sealed(schemas)
    reference = "#/components/schemas/CreatePaymentRequest"
    return Draft4Validator({"$ref": reference, "components": {"schemas": schemas}})


# No deadline: the first example loads the file.
@settings(deadline=None)
@given(_requests())
def test_create_body_of_any_payment_is_what_vipps_specifies(request: PaymentRequest) -> None:
    """Any amount, text and flow that Betalbar takes makes a body that Vipps specifies."""
    body = create_payment_body(request)

    errors = list(_body_validator().iter_errors(body))

    assert not errors


@pytest.mark.parametrize("change", [{"receiptURL": "x"}, {"receipt": {"orderLines": []}}])
def test_check_of_a_wrong_body_fails(change: dict[str, object]) -> None:
    """The check is one: neither a misspelled member nor half a receipt passes it."""
    body = create_payment_body(PUSH) | change

    errors = list(_body_validator().iter_errors(body))

    assert errors
