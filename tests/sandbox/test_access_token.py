"""Access tokens and the keys every call needs."""

from dataclasses import replace
from datetime import timedelta

import pytest

from service.sandbox import SalesUnitKeys
from tests.sandbox.harness import (
    CALM,
    MSN,
    OTHER_MSN,
    Merchant,
    TurnableClock,
    a_payment,
    sandbox,
)

KEYS = SalesUnitKeys(MSN, "shop", "shop-secret", "shop-key")
GUARDED = replace(CALM, sales_units=(KEYS,))


def test_token_for_any_keys_is_given_with_numbers_as_text(merchant: Merchant) -> None:
    """A developer needs no keys; the numbers in the answer are text, as Vipps sends them."""
    answer = merchant.get_token()

    assert answer.status_code == 200
    body = answer.json()
    assert body["token_type"] == "Bearer"
    assert (body["expires_in"], body["ext_expires_in"]) == ("3600", "0")
    assert int(body["expires_on"]) - int(body["not_before"]) == 3600


@pytest.mark.parametrize(
    ("missing", "status"),
    [("Ocp-Apim-Subscription-Key", 401), ("client_id", 400), ("client_secret", 400)],
)
def test_token_without_a_key_is_refused(merchant: Merchant, missing: str, status: int) -> None:
    """All three keys have to be sent."""
    del merchant.keys[missing]

    assert merchant.get_token().status_code == status


@pytest.mark.parametrize(
    ("client_id", "secret", "key", "status"),
    [
        ("shop", "shop-secret", "shop-key", 200),
        ("shop", "wrong", "shop-key", 401),
        ("wrong", "shop-secret", "shop-key", 401),
        ("shop", "shop-secret", "wrong", 401),
    ],
)
def test_token_of_a_configured_sales_unit_needs_its_keys(
    client_id: str, secret: str, key: str, status: int
) -> None:
    """Where keys are configured, only those open the sales unit."""
    keys = {"client_id": client_id, "client_secret": secret, "Ocp-Apim-Subscription-Key": key}

    with sandbox(GUARDED) as merchant:
        merchant.keys = keys
        assert merchant.get_token().status_code == status


def test_token_of_another_sales_unit_is_refused() -> None:
    """The keys of one sales unit never open another one that has its own."""
    with sandbox(GUARDED) as merchant:
        merchant.msn = OTHER_MSN
        merchant.headers()
        merchant.msn = MSN

        answer = merchant.create(a_payment())

    assert answer.status_code == 401


@pytest.mark.parametrize("authorization", ["", "bearer {}", "{}", "Bearer x.y.z", "Bearer {}x"])
def test_call_without_a_good_token_is_refused(merchant: Merchant, authorization: str) -> None:
    """The word Bearer and an unchanged token are needed."""
    headers = merchant.headers()
    headers["Authorization"] = authorization.format(merchant.token)

    answer = merchant.client.get("/epayment/v1/payments/invoice-0001", headers=headers)

    assert answer.status_code == 401
    assert answer.json()["statusCode"] == 401


def test_call_without_a_subscription_key_is_refused(merchant: Merchant) -> None:
    """The subscription key goes with every call."""
    headers = merchant.headers()
    del headers["Ocp-Apim-Subscription-Key"]

    answer = merchant.client.get("/epayment/v1/payments/invoice-0001", headers=headers)

    assert answer.status_code == 401


def test_token_after_an_hour_is_refused() -> None:
    """A token lives for an hour of real time; turning the business clock does not end it."""
    clock = TurnableClock()
    with sandbox(real_now=clock) as merchant:
        merchant.create(a_payment())
        merchant.advance(7200)
        assert merchant.get("invoice-0001")["state"] == "EXPIRED"

        clock.ahead = timedelta(hours=1)
        answer = merchant.call("GET", "/epayment/v1/payments/invoice-0001")

    assert answer.status_code == 401
