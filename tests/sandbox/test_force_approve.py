"""Force approve: the customer's yes without an app, in tests only."""

from typing import Any

import pytest

from tests.sandbox.harness import Merchant, a_payment, code_of

REFERENCE = "invoice-0001"


def force(merchant: Merchant, **body: Any) -> Any:
    """Force approve."""
    path = f"/epayment/v1/test/payments/{REFERENCE}/approve"
    return merchant.call("POST", path, body=body)


def test_force_approve_reserves_the_money(merchant: Merchant) -> None:
    """In tests a payment is approved without the app, by the customer's number."""
    merchant.create(a_payment(REFERENCE))

    answer = force(merchant, customer={"phoneNumber": "4791234567"})

    assert (answer.status_code, answer.content) == (200, b"")
    assert merchant.get(REFERENCE)["state"] == "AUTHORIZED"
    assert code_of(force(merchant, customer={"phoneNumber": "4791234567"})) == "6230"


def test_force_approve_by_token_needs_that_of_the_link(merchant: Merchant) -> None:
    """A payment by link is approved by the token in its link."""
    link = merchant.create(a_payment(REFERENCE, userFlow="QR", customer=None)).json()["redirectUrl"]

    wrong = force(merchant, token="another")
    right = force(merchant, token=link.partition("token=")[2])

    assert (code_of(wrong), right.status_code) == ("10020", 200)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "4140"),
        ({"customer": {"phoneNumber": "4700000000"}}, "10020"),
        ({"customer": 1}, "4140"),
    ],
)
def test_force_approve_by_somebody_else_is_refused(
    merchant: Merchant, body: dict[str, Any], code: str
) -> None:
    """Only the customer who was asked can approve."""
    merchant.create(a_payment(REFERENCE))

    assert code_of(force(merchant, **body)) == code


def test_force_approve_of_what_is_over_is_refused(merchant: Merchant) -> None:
    """What the customer said no to stays so."""
    merchant.create(a_payment(REFERENCE))
    merchant.act("reject", REFERENCE)

    assert code_of(force(merchant, customer={"phoneNumber": "4791234567"})) == "10010"
