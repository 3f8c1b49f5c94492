"""How long a reservation is good for, and captures that fail."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.sandbox.harness import Merchant, a_payment, code_of
from tests.sandbox.receiver import Receiver

REFERENCE = "invoice-0001"


def guaranteed(merchant: Merchant, **act: Any) -> timedelta:
    """Return for how long after the approval a capture is sure to succeed."""
    merchant.act("approve", REFERENCE, **act)
    until = datetime.fromisoformat(merchant.get(REFERENCE)["captureGuaranteedUntil"])
    told_at = merchant.events(REFERENCE)[-1]["timestamp"]
    return until - datetime.fromisoformat(told_at)


@pytest.mark.parametrize(
    ("card", "currency", "days"),
    [
        ("VISA", "NOK", 7),
        ("VISA_ELECTRON", "NOK", 5),
        ("MASTERCARD", "NOK", 30),
        ("BANKAXEPT", "NOK", 7),
        ("ACCOUNT", "NOK", 180),
        ("MASTERCARD", "DKK", 14),
        ("ACCOUNT", "EUR", 14),
    ],
)
def test_capture_is_guaranteed_by_card_and_market(
    merchant: Merchant, card: str, currency: str, days: int
) -> None:
    """Each card holds the money for its own time, and never beyond the market's."""
    merchant.create(a_payment(REFERENCE, amount={"currency": currency, "value": 20_000}))

    assert guaranteed(merchant, card=card) == timedelta(days=days)


def test_card_is_the_persons_unless_named(lone_merchant: Merchant) -> None:
    """A person pays with one card; a test may name another for one payment."""
    lone_merchant.client.put("/sandbox/persons/4791234567", json={"card": "MASTERCARD"})
    lone_merchant.create(a_payment(REFERENCE))

    assert guaranteed(lone_merchant) == timedelta(days=30)


def test_card_that_nobody_has_is_refused(merchant: Merchant) -> None:
    """A typo in a card is named."""
    merchant.create(a_payment(REFERENCE))

    assert code_of(merchant.act("approve", REFERENCE, card="DINERS")) == "card"


def test_guarantee_is_told_with_the_authorization_only(
    merchant: Merchant, receiver: Receiver
) -> None:
    """The webhook of the authorization tells it, and a payment that has one."""
    merchant.register(receiver.url)
    merchant.create(a_payment(REFERENCE))
    before = merchant.get(REFERENCE)
    merchant.act("approve", REFERENCE)
    merchant.adjust("capture", REFERENCE, value=100, key="c")

    created, authorized, captured = (received.event for received in receiver.wait_for(3))

    until = merchant.get(REFERENCE)["captureGuaranteedUntil"]
    assert authorized["captureGuaranteedUntil"] == until
    for other in (before, created, captured):
        assert "captureGuaranteedUntil" not in other


@pytest.mark.parametrize("code", [6260, 6280])
def test_capture_in_trouble_succeeds_later_with_the_same_key(merchant: Merchant, code: int) -> None:
    """A bank may have let go of the money, or be away: the same request may work later."""
    merchant.create(a_payment(REFERENCE))
    merchant.act("approve", REFERENCE)
    merchant.act("fail-captures", REFERENCE, code=code, times=2)

    answers = [merchant.adjust("capture", REFERENCE, value=20_000, key="c") for _ in range(3)]

    assert [answer.status_code for answer in answers] == [400, 400, 200]
    assert code_of(answers[0]) == str(code)
    assert merchant.get(REFERENCE)["aggregate"]["capturedAmount"]["value"] == 20_000


@pytest.mark.parametrize("body", [{"code": 6090}, {}, {"code": 6260, "times": -1}])
def test_capture_trouble_that_is_none_is_refused(merchant: Merchant, body: dict[str, Any]) -> None:
    """Only the two troubles of cards can be asked for."""
    merchant.create(a_payment(REFERENCE))

    assert merchant.act("fail-captures", REFERENCE, **body).status_code == 409
