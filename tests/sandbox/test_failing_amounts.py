"""The amounts that fail in Vipps's test environment."""

from dataclasses import replace

import pytest

from tests.sandbox.harness import CALM, Merchant, a_payment, code_of, sandbox
from tests.sandbox.receiver import Receiver

REFERENCE = "invoice-0001"


def created(merchant: Merchant, value: int, *, currency: str = "NOK") -> None:
    """Have a payment of that amount made."""
    body = a_payment(REFERENCE, amount={"currency": currency, "value": value})
    assert merchant.create(body).status_code == 201


@pytest.mark.parametrize("value", [151, 182, 183, 184, 186, 187, 197, 202])
def test_approval_of_a_failing_amount_reserves_nothing(
    merchant: Merchant, receiver: Receiver, value: int
) -> None:
    """The log and the webhook tell of it with `success: false`; the payment stays open."""
    merchant.register(receiver.url)
    created(merchant, value)

    answer = merchant.act("approve", REFERENCE)

    assert (answer.status_code, code_of(answer)) == (409, "10010")
    log = [(e["name"], e["success"]) for e in merchant.events(REFERENCE)]
    assert log == [("CREATED", True), ("AUTHORIZED", False)]
    found = merchant.get(REFERENCE)
    assert (found["state"], found["aggregate"]["authorizedAmount"]["value"]) == ("CREATED", 0)
    webhook = receiver.wait_for(2)[1].event
    assert (webhook["name"], webhook["success"]) == ("AUTHORIZED", False)
    assert merchant.cancel(REFERENCE).status_code == 200


@pytest.mark.parametrize("value", [197, 202])
def test_norwegian_failure_is_none_elsewhere(merchant: Merchant, value: int) -> None:
    """Two of the amounts fail in Norway only."""
    created(merchant, value, currency="DKK")

    assert merchant.act("approve", REFERENCE).json()["state"] == "AUTHORIZED"


@pytest.mark.parametrize(("value", "status"), [(186, 500), (151, 400)])
def test_force_approve_of_a_failing_amount_is_refused(
    merchant: Merchant, value: int, status: int
) -> None:
    """An expired test card shows as a 500, as Vipps says of its own."""
    created(merchant, value)
    path = f"/epayment/v1/test/payments/{REFERENCE}/approve"
    body = {"customer": {"phoneNumber": "4791234567"}}

    assert merchant.call("POST", path, body=body).status_code == status


def test_unknown_outcome_is_known_after_an_hour(lone_merchant: Merchant) -> None:
    """For an hour the payment is locked, and then it turns out to be authorized."""
    merchant = lone_merchant
    created(merchant, 201)
    approved = merchant.act("approve", REFERENCE)

    locked = merchant.cancel(REFERENCE)
    merchant.advance(3590)
    before = merchant.get(REFERENCE)["state"]
    merchant.advance(15)

    assert (approved.json()["state"], approved.json()["isAuthorizing"]) == ("CREATED", True)
    assert (locked.status_code, code_of(locked)) == (423, "6250")
    assert (before, merchant.get(REFERENCE)["state"]) == ("CREATED", "AUTHORIZED")


def test_unknown_outcome_with_a_scope_shares_in_the_end(lone_merchant: Merchant) -> None:
    """What the customer agreed to share comes with the outcome."""
    amount = {"currency": "NOK", "value": 201}
    lone_merchant.create(a_payment(REFERENCE, amount=amount, profile={"scope": "name"}))
    lone_merchant.act("approve", REFERENCE)
    lone_merchant.advance(3601)

    assert lone_merchant.get(REFERENCE)["profile"]["sub"]


@pytest.mark.parametrize(("value", "code"), [(123, "6210"), (124, "6220")])
def test_refund_of_a_failing_amount_is_refused(merchant: Merchant, value: int, code: str) -> None:
    """A refund that cannot reach the customer, and one that is said to come too late."""
    merchant.create(a_payment(REFERENCE))
    merchant.act("approve", REFERENCE)
    merchant.adjust("capture", REFERENCE, value=20_000, key="c")

    assert code_of(merchant.adjust("refund", REFERENCE, value=value, key="r")) == code
    assert merchant.adjust("refund", REFERENCE, value=125, key="s").status_code == 200


def test_failing_amounts_can_be_switched_off() -> None:
    """For tests that draw their amounts."""
    with sandbox(replace(CALM, has_failing_amounts=False)) as merchant:
        for value in (151, 201):
            reference = f"invoice-{value:04}"
            amount = {"currency": "NOK", "value": value}
            merchant.create(a_payment(reference, amount=amount))

            assert merchant.act("approve", reference).json()["state"] == "AUTHORIZED"
