"""One idempotency key, one request, one answer."""

import pytest

from tests.sandbox.harness import OTHER_MSN, Merchant, a_long_payment, a_payment, code_of

REFERENCE = "invoice-0001"


def test_create_again_with_the_same_key_and_body_gives_the_same_answer(
    lone_merchant: Merchant,
) -> None:
    """A repeated request is answered again and makes nothing, even much later."""
    merchant, body = lone_merchant, a_long_payment(userFlow="QR")
    first = merchant.create(body)
    merchant.advance(12 * 3600)

    again = merchant.create(body)

    assert (again.status_code, again.json()) == (201, first.json())
    assert [e["effect"] for e in merchant.effects()] == ["created", "expired"]


def test_create_with_a_used_key_and_another_body_is_a_conflict(merchant: Merchant) -> None:
    """One key, one request."""
    merchant.create(a_payment(), key="k")

    answer = merchant.create(a_payment("invoice-0002"), key="k")

    assert (answer.status_code, code_of(answer)) == (409, "4020")


def test_create_with_a_used_reference_is_a_conflict(merchant: Merchant) -> None:
    """A reference is used once in a sales unit, upper and lower case apart."""
    merchant.create(a_payment())

    answer = merchant.create(a_payment(), key="another")

    assert (answer.status_code, code_of(answer)) == (409, "4150")
    assert merchant.create(a_payment("INVOICE-0001")).status_code == 201
    merchant.msn = OTHER_MSN
    assert merchant.create(a_payment()).status_code == 201


def test_create_refused_once_stays_refused_for_that_key(merchant: Merchant) -> None:
    """A key that got a 4xx keeps it, also when the reason is gone; a new key works."""
    path = f"/sandbox/sales-units/{merchant.msn}"
    merchant.client.put(path, json={"push": False})
    refused = merchant.create(a_payment(), key="k")
    merchant.client.put(path, json={"push": True})

    again = merchant.create(a_payment(), key="k")

    assert (again.status_code, again.content) == (403, refused.content)
    assert code_of(again) == "5080"
    assert merchant.create(a_payment(), key="new").status_code == 201


@pytest.mark.parametrize(("operation", "code"), [("capture", "4010"), ("refund", "4150")])
def test_adjustment_again_happens_once(merchant: Merchant, operation: str, code: str) -> None:
    """The same key takes or gives back once; with another amount it is a conflict."""
    merchant.create(a_payment(REFERENCE))
    merchant.act("approve", REFERENCE)
    merchant.adjust("capture", REFERENCE, value=10_000, key="first")

    answers = [merchant.adjust(operation, REFERENCE, value=5_000, key="k") for _ in range(3)]
    other = merchant.adjust(operation, REFERENCE, value=4_000, key="k")

    assert len({answer.content for answer in answers}) == 1
    assert (other.status_code, code_of(other)) == (409, code)
    keys = [effect["idempotencyKey"] for effect in merchant.effects()]
    assert keys.count("k") == 1


def test_key_of_another_payment_is_a_conflict(merchant: Merchant) -> None:
    """A key belongs to one request, not to one payment."""
    for reference in (REFERENCE, "invoice-0002"):
        merchant.create(a_payment(reference))
        merchant.act("approve", reference)
    merchant.adjust("capture", REFERENCE, value=5_000, key="k")

    answer = merchant.adjust("capture", "invoice-0002", value=5_000, key="k")

    assert answer.status_code == 409
