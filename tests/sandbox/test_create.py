"""What can be created at Vipps, and how it says no."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.sandbox.harness import (
    Merchant,
    a_long_payment,
    a_payment,
    a_receipt,
    code_of,
)


def dated(changes: dict[str, Any]) -> dict[str, Any]:
    """Return the changes with each lapse as an instant that far from now.

    Tests are named by their arguments, so these must be the same in every process.
    """
    now = datetime.now(UTC)
    return {k: (now + v).isoformat() if isinstance(v, timedelta) else v for k, v in changes.items()}


def test_create_pushed_answers_without_redirect_url(merchant: Merchant) -> None:
    """A pushed payment has nothing to open in a browser."""
    answer = merchant.create(a_payment())

    assert (answer.status_code, answer.json()) == (201, {"reference": "invoice-0001"})
    found = merchant.get("invoice-0001")
    assert (found["state"], found["amount"]["value"]) == ("CREATED", 20_000)
    assert "redirectUrl" not in found
    assert "receipt" not in found


@pytest.mark.parametrize(
    ("flow", "start"),
    [
        ("WEB_REDIRECT", "http://127.0.0.1:8080/phone/landing?token="),
        ("QR", "http://127.0.0.1:8080/phone/qr?token="),
        ("NATIVE_REDIRECT", "vipps://?token="),
    ],
)
def test_create_redirected_answers_with_a_link(merchant: Merchant, flow: str, start: str) -> None:
    """The other flows are opened by a link that carries a token."""
    answer = merchant.create(a_payment(userFlow=flow, returnUrl="https://shop.example/thanks"))

    assert answer.json()["redirectUrl"].startswith(start)
    assert merchant.get("invoice-0001")["redirectUrl"] == answer.json()["redirectUrl"]


def test_create_with_unknown_fields_is_accepted(merchant: Merchant) -> None:
    """Fields that nobody knows are ignored."""
    links = {"termsOfSaleUrl": "https://shop.example/terms"}

    answer = merchant.create(a_payment(merchantLegalLinks=links, nonsense=[1]))

    assert answer.status_code == 201


def test_create_keeps_metadata_for_reading_only(merchant: Merchant) -> None:
    """Metadata comes back with the payment."""
    merchant.create(a_payment(metadata={"betalbar": "inv_1"}))

    assert merchant.get("invoice-0001")["metadata"] == {"betalbar": "inv_1"}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"amount": None}, "amount"),
        ({"amount": {"currency": "NOK", "value": "20000"}}, "amount.value"),
        ({"amount": {"currency": "NOK", "value": 200.0}}, "amount.value"),
        ({"amount": {"currency": "NOK", "value": True}}, "amount.value"),
        ({"amount": {"currency": "NOK", "value": -1}}, "amount.value"),
        ({"amount": {"currency": "NOK", "value": 65_000_001}}, "amount.value"),
        ({"amount": {"currency": "XXX", "value": 100}}, "amount.currency"),
        ({"amount": 5}, "amount"),
        ({"paymentMethod": None}, "paymentMethod"),
        ({"paymentMethod": "WALLET"}, "paymentMethod"),
        ({"paymentMethod": {"type": "CASH"}}, "paymentMethod.type"),
        ({"userFlow": None}, "userFlow"),
        ({"userFlow": "EMAIL"}, "userFlow"),
        ({"reference": None}, "reference"),
        ({"reference": "a" * 7}, "reference"),
        ({"reference": "a" * 65}, "reference"),
        ({"reference": "invoice_0001"}, "reference"),
        ({"paymentDescription": "ab"}, "paymentDescription"),
        ({"paymentDescription": "a" * 101}, "paymentDescription"),
        ({"returnUrl": "https://shop.example/" + "a" * 2500}, "returnUrl"),
        ({"customer": {}, "userFlow": "QR"}, "customer"),
        ({"customer": {"phoneNumber": "4791234567", "customerToken": "t"}}, "customer"),
        ({"customer": "4791234567"}, "customer"),
        ({"customerInteraction": "CUSTOMER_ASLEEP"}, "customerInteraction"),
        ({"minimumUserAge": 101}, "minimumUserAge"),
        ({"userFlow": "QR", "qrFormat": {"size": 200}}, "qrFormat.format"),
        ({"userFlow": "QR", "qrFormat": {"format": "IMAGE/PNG", "size": 99}}, "size"),
        ({"metadata": {"a": 1}}, "metadata"),
        ({"receipt": a_receipt(), "receiptUrl": "https://shop.example/r"}, "receiptUrl"),
        ({"expiresAt": "tomorrow"}, "expiresAt"),
        ({"expiresAt": "2026-13-01T00:00:00Z"}, "expiresAt"),
        ({"expiresAt": "2026-12-01T00:00:00"}, "expiresAt"),
        ({"expiresAt": timedelta(hours=2), "userFlow": "WEB_REDIRECT"}, "expiresAt"),
        (
            {
                "expiresAt": timedelta(hours=2),
                "paymentMethod": {"type": "CARD"},
            },
            "expiresAt",
        ),
    ],
)
def test_create_with_a_bad_field_names_it(
    merchant: Merchant, changes: dict[str, Any], field: str
) -> None:
    """A field that is wrong by itself is named, without a domain code."""
    answer = merchant.create(a_payment(**dated(changes)), key="a-key")

    assert (answer.status_code, code_of(answer)) == (400, field)
    assert answer.json()["traceId"].startswith("00-")


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"amount": {"currency": "NOK", "value": 99}}, 400, "6010"),
        ({"amount": {"currency": "DKK", "value": 0}}, 400, "6010"),
        ({"amount": {"currency": "SEK", "value": 100}}, 400, "5040"),
        ({"customer": None}, 400, "4140"),
        ({"customer": {"phoneNumber": "+4791234567"}}, 400, "4070"),
        ({"customer": {"phoneNumber": 4791234567}}, 400, "4070"),
        ({"customer": {"phoneNumber": "12345678"}}, 400, "4070"),
        ({"userFlow": "WEB_REDIRECT"}, 400, "4140"),
        ({"returnUrl": "http://shop.example/thanks"}, 400, "4090"),
        ({"receiptUrl": "not a url"}, 400, "4090"),
        ({"profile": {"scope": "name shoeSize"}}, 400, "4080"),
        ({"profile": {"scope": "nin"}}, 403, "5030"),
        ({"metadata": {str(n): "v" for n in range(6)}}, 400, "4100"),
        ({"metadata": {"k" * 101: "v"}}, 400, "4120"),
        ({"metadata": {"k": "v" * 501}}, 400, "4130"),
        ({"paymentMethod": {"type": "CARD"}}, 403, "5070"),
        ({"paymentMethod": {"type": "CARD_PASSTHROUGH"}}, 403, "5070"),
        (
            {"paymentMethod": {"type": "WALLET", "blockedSources": ["COMMERCIAL_CARDS"]}},
            400,
            "5010",
        ),
        ({"shipping": {"fixedOptions": []}}, 403, "5020"),
        ({"expiresAt": timedelta(minutes=9), "receipt": a_receipt()}, 400, "6120"),
        ({"expiresAt": timedelta(hours=24, minutes=1), "receipt": a_receipt()}, 400, "6110"),
        ({"expiresAt": timedelta(hours=2)}, 400, "6130"),
        ({"expiresAt": timedelta(hours=2), "receiptUrl": "https://shop.example/r"}, 400, "6130"),
    ],
)
def test_create_against_a_rule_gives_its_code(
    merchant: Merchant, changes: dict[str, Any], status: int, code: str
) -> None:
    """A request that is well formed and still not allowed is refused by its code."""
    answer = merchant.create(a_payment(**dated(changes)))

    assert (answer.status_code, code_of(answer)) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert merchant.effects() == []


@pytest.mark.parametrize(
    "changes",
    [
        {"amount": {"currency": "NOK", "value": 100}},
        {"amount": {"currency": "NOK", "value": 65_000_000}},
        {"amount": {"currency": "DKK", "value": 1}},
        {"reference": "a" * 8},
        {"reference": "A-" * 32},
        {"paymentDescription": "abc"},
        {"returnUrl": "shopapp://thanks"},
        {"returnUrl": "http://127.0.0.1:8080/i/token"},
        {"metadata": {"k" * 100: "v" * 500}},
        {"expiresAt": timedelta(minutes=10, seconds=30), "receipt": a_receipt()},
        {"expiresAt": timedelta(hours=23, minutes=59), "receipt": a_receipt()},
    ],
)
def test_create_at_the_edge_is_accepted(merchant: Merchant, changes: dict[str, Any]) -> None:
    """What is just within every limit is made."""
    assert merchant.create(a_payment(**dated(changes)), key="a-key").status_code == 201


def test_create_with_the_same_metadata_key_twice_is_refused(merchant: Merchant) -> None:
    """Two equal metadata keys are refused, though most parsers never see the first."""
    text = '{"reference":"invoice-0001","metadata":{"a":"1","a":"2"}}'
    headers = merchant.headers(**{"Idempotency-Key": "k"})

    answer = merchant.client.post("/epayment/v1/payments", content=text, headers=headers)

    assert code_of(answer) == "4110"


@pytest.mark.parametrize("text", ["", "{", "[]", "null"])
def test_create_without_a_json_object_is_refused(merchant: Merchant, text: str) -> None:
    """A body that is no JSON object is a 400."""
    headers = merchant.headers(**{"Idempotency-Key": "k"})

    answer = merchant.client.post("/epayment/v1/payments", content=text, headers=headers)

    assert answer.status_code == 400


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("Merchant-Serial-Number", "12a"),
        ("Merchant-Serial-Number", ""),
        ("Vipps-System-Name", "x" * 31),
        ("Idempotency-Key", ""),
        ("Idempotency-Key", "x" * 51),
    ],
)
def test_create_with_a_bad_header_names_it(merchant: Merchant, header: str, value: str) -> None:
    """Headers have their limits too; an idempotency key is required."""
    headers = merchant.headers(**{"Idempotency-Key": "k"}) | {header: value}

    answer = merchant.client.post("/epayment/v1/payments", json=a_payment(), headers=headers)

    assert (answer.status_code, code_of(answer)) == (400, header)


@pytest.mark.parametrize(
    ("approvals", "changes", "code"),
    [
        ({"longLiving": False}, {}, "5050"),
        ({"push": False}, {}, "5080"),
        ({"currency": "DKK"}, {}, "5040"),
        ({"maxLifetimeSeconds": 3600}, {}, "6110"),
        ({"nin": True}, {"profile": {"scope": "nin"}}, None),
        ({"maxLifetimeSeconds": 86_400}, {}, None),
    ],
)
def test_create_follows_the_sales_units_approvals(
    merchant: Merchant, approvals: dict[str, Any], changes: dict[str, Any], code: str | None
) -> None:
    """What a sales unit may do is settable."""
    merchant.client.put(f"/sandbox/sales-units/{merchant.msn}", json=approvals)

    answer = merchant.create(a_long_payment(**changes))

    assert (code_of(answer) if code else answer.status_code) == (code or 201)


@pytest.mark.parametrize(
    ("lapse", "status"), [(timedelta(days=59, hours=23), 201), (timedelta(days=60, hours=1), 400)]
)
def test_create_in_denmark_may_live_for_sixty_days(
    merchant: Merchant, lapse: timedelta, status: int
) -> None:
    """Only Norway caps a payment's life at a day."""
    amount = {"currency": "DKK", "value": 100}

    answer = merchant.create(a_long_payment(**dated({"amount": amount, "expiresAt": lapse})))

    assert answer.status_code == status


def test_create_for_someone_without_the_app_is_refused(merchant: Merchant) -> None:
    """7010 covers whoever cannot pay, without saying why."""
    merchant.client.put("/sandbox/persons/4799999999", json={"isUser": False})

    answer = merchant.create(a_payment(customer={"phoneNumber": "4799999999"}))

    assert code_of(answer) == "7010"
