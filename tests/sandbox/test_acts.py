"""What the customer does, the clock, and the look inside."""

from typing import Any

import pytest

from tests.sandbox.harness import (
    OTHER_MSN,
    Merchant,
    a_long_payment,
    a_payment,
    a_receipt,
    code_of,
)

REFERENCE = "invoice-0001"


def test_approve_authorizes_and_reject_aborts(merchant: Merchant) -> None:
    """The customer's yes and no are final."""
    for act, state in (("approve", "AUTHORIZED"), ("reject", "ABORTED")):
        reference = f"invoice-{act}"
        merchant.create(a_payment(reference))

        answer = merchant.act(act, reference)

        assert (answer.status_code, answer.json()["state"]) == (200, state)
        assert merchant.names(reference) == ["CREATED", state]
        assert merchant.act("approve", reference).status_code == 409
        assert merchant.act("reject", reference).status_code == 409


def test_postpone_changes_no_state_at_vipps(merchant: Merchant) -> None:
    """Vipps knows nothing of "I'll pay later": everything stays possible."""
    merchant.create(a_long_payment(REFERENCE))
    before = merchant.get(REFERENCE)

    answer = merchant.act("postpone", REFERENCE)

    assert answer.json()["isPostponed"] is True
    assert merchant.get(REFERENCE) == before
    assert merchant.names(REFERENCE) == ["CREATED"]
    assert merchant.act("approve", REFERENCE).json()["state"] == "AUTHORIZED"
    assert merchant.act("postpone", REFERENCE).status_code == 409


def test_postpone_of_a_ten_minute_payment_is_not_offered(merchant: Merchant) -> None:
    """The app offers it only where the merchant set an expiry."""
    merchant.create(a_payment(REFERENCE))

    assert merchant.act("postpone", REFERENCE).status_code == 409


def test_open_details_shows_the_merchants_page(merchant: Merchant) -> None:
    """See details opens what the merchant put into Order Management."""
    merchant.create(a_payment(REFERENCE))
    category = {"category": "GENERAL", "orderDetailsUrl": "https://shop.example/i/token"}
    merchant.call("PUT", f"/order-management/v2/ecom/categories/{REFERENCE}", body=category)

    shown = merchant.act("open-details", REFERENCE).json()

    assert (shown["detailsOpened"], shown["orderDetailsUrl"]) == (1, "https://shop.example/i/token")
    assert merchant.names(REFERENCE) == ["CREATED"]


def test_act_on_a_reference_of_two_sales_units_needs_the_msn(lone_merchant: Merchant) -> None:
    """A reference is unique in its sales unit only, so the act has to say which."""
    merchant = lone_merchant
    path = f"/sandbox/payments/{REFERENCE}/approve"
    merchant.create(a_payment(REFERENCE))
    merchant.msn = OTHER_MSN
    merchant.create(a_payment(REFERENCE))

    assert merchant.client.post(path).status_code == 409
    assert merchant.client.post(path, json={"msn": OTHER_MSN}).json()["msn"] == OTHER_MSN
    shown = merchant.client.get(f"/sandbox/payments/{REFERENCE}?msn={OTHER_MSN}").json()
    assert shown["state"] == "AUTHORIZED"
    items = merchant.client.get("/sandbox/payments").json()["items"]
    assert [item["state"] for item in items] == ["CREATED", "AUTHORIZED"]


def test_act_on_an_unknown_payment_is_not_found(merchant: Merchant) -> None:
    """There is nobody to act for."""
    assert merchant.act("approve", "invoice-none").status_code == 404
    assert merchant.client.get("/sandbox/payments/invoice-none").status_code == 404


@pytest.mark.parametrize("text", ["{", "[1]"])
def test_act_with_a_broken_body_is_refused(merchant: Merchant, text: str) -> None:
    """A body may be left out, but not be nonsense."""
    path = f"/sandbox/payments/{REFERENCE}/approve"

    assert merchant.client.post(path, content=text).status_code == 400


def test_approve_with_a_scope_shares_what_was_asked_for(lone_merchant: Merchant) -> None:
    """With `profile.scope`, the customer's consent brings `sub` and their data."""
    merchant = lone_merchant
    merchant.client.put("/sandbox/persons/4791234567", json={"firstName": "Åse"})
    merchant.create(a_payment(REFERENCE, profile={"scope": "name phoneNumber"}))
    assert merchant.get(REFERENCE)["profile"] == {}

    merchant.act("approve", REFERENCE)

    found = merchant.get(REFERENCE)
    details = found["userDetails"]
    assert (details["firstName"], details["mobileNumber"]) == ("Åse", "4791234567")
    assert (details["email"], details["addresses"]) == ("", [])
    assert found["profile"]["sub"]


def test_approve_without_a_scope_shares_nothing(merchant: Merchant) -> None:
    """Nobody's data is sent who was not asked."""
    merchant.create(a_payment(REFERENCE))
    merchant.act("approve", REFERENCE)

    found = merchant.get(REFERENCE)
    assert (found["profile"], "userDetails" in found) == ({}, False)


def test_approve_by_link_is_by_whoever_opens_it(merchant: Merchant) -> None:
    """A link knows no customer before one approves."""
    profile = {"scope": "name phoneNumber email address birthDate"}
    merchant.create(a_payment(REFERENCE, userFlow="QR", customer=None, profile=profile))

    merchant.act("approve", REFERENCE, phoneNumber="4540000000")

    details = merchant.get(REFERENCE)["userDetails"]
    assert details["mobileNumber"] == "4540000000"
    assert len(details["addresses"]) == 1
    assert merchant.act("approve", REFERENCE, phoneNumber=45).status_code == 409


def test_clock_tells_business_time(lone_merchant: Merchant) -> None:
    """Turning the clock moves expiry and timestamps, forwards only."""
    client = lone_merchant.client

    assert client.get("/sandbox/clock").json()["offsetSeconds"] == 0
    shown = client.post("/sandbox/clock", json={"advanceSeconds": 90.5}).json()

    assert shown["offsetSeconds"] == 90.5
    for bad in (-1, "1", None, True, 10**12):
        assert client.post("/sandbox/clock", json={"advanceSeconds": bad}).status_code == 400


def test_payment_without_expiry_lapses_after_ten_minutes(lone_merchant: Merchant) -> None:
    """Ten minutes is the life of a payment that names no other."""
    merchant = lone_merchant
    merchant.create(a_payment(REFERENCE))

    merchant.advance(595)
    assert merchant.get(REFERENCE)["state"] == "CREATED"
    merchant.advance(10)

    assert merchant.get(REFERENCE)["state"] == "EXPIRED"
    assert merchant.act("approve", REFERENCE).status_code == 409
    assert code_of(merchant.cancel(REFERENCE)) == "6050"


def test_payment_with_expiry_lapses_then(lone_merchant: Merchant) -> None:
    """A long-living payment ends at its own time, postponed or not."""
    merchant = lone_merchant
    merchant.create(a_long_payment(REFERENCE))
    merchant.act("postpone", REFERENCE)

    merchant.advance(11 * 3600)
    assert merchant.get(REFERENCE)["state"] == "CREATED"
    merchant.advance(3600)

    shown = merchant.client.get(f"/sandbox/payments/{REFERENCE}").json()
    assert shown["events"][-1]["name"] == "EXPIRED"
    assert shown["events"][-1]["timestamp"] == shown["expiresAt"]


def test_payment_being_authorized_does_not_lapse(lone_merchant: Merchant) -> None:
    """A customer in the middle of approving is let finish."""
    merchant = lone_merchant
    merchant.create(a_payment(REFERENCE))
    merchant.act("begin-authorizing", REFERENCE)

    merchant.advance(3600)

    assert merchant.act("approve", REFERENCE).json()["state"] == "AUTHORIZED"


def test_effects_tell_what_really_happened(merchant: Merchant) -> None:
    """The ledger has one line for each thing that happened, with the key that asked for it."""
    merchant.create(a_payment(REFERENCE), key="create")
    merchant.create(a_payment(REFERENCE), key="create")
    merchant.act("approve", REFERENCE)
    merchant.adjust("capture", REFERENCE, value=5_000, key="capture")
    merchant.adjust("capture", REFERENCE, value=50_000, key="too-much")
    merchant.adjust("refund", REFERENCE, value=1_000, key="refund")
    merchant.cancel(REFERENCE, key="cancel")

    effects = merchant.effects()

    assert [(e["effect"], e["amount"]["value"], e["idempotencyKey"]) for e in effects] == [
        ("created", 20_000, "create"),
        ("authorized", 20_000, None),
        ("captured", 5_000, "capture"),
        ("refunded", 1_000, "refund"),
        ("cancelled", 15_000, "cancel"),
    ]
    sequences = [e["sequence"] for e in effects]
    after = merchant.client.get(f"/sandbox/effects?after={sequences[-2]}").json()["items"]
    assert [e["sequence"] for e in after] == sequences[-1:]
    assert merchant.client.get("/sandbox/effects?after=x").status_code == 400


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/sandbox/sales-units/123456", {"push": "yes"}),
        ("/sandbox/sales-units/123456", {"pull": True}),
        ("/sandbox/sales-units/123456", {"currency": "SEK"}),
        ("/sandbox/persons/4791234567", {"isUser": 1}),
        ("/sandbox/persons/4791234567", {"shoeSize": 43}),
        ("/sandbox/chaos", {"lose": 1.1}),
        ("/sandbox/chaos", {"lose": "all"}),
        ("/sandbox/chaos", {"delaySeconds": -1}),
        ("/sandbox/chaos", {"lsoe": 1}),
    ],
)
def test_setting_that_makes_no_sense_is_refused(
    merchant: Merchant, path: str, body: dict[str, Any]
) -> None:
    """A typo in a setting is named, instead of silently doing nothing."""
    answer = merchant.client.put(path, json=body)

    assert (answer.status_code, code_of(answer)) == (400, next(iter(body)))


def test_settings_can_be_read_back(merchant: Merchant) -> None:
    """What was set, and what nobody set, is shown."""
    unit = merchant.client.get("/sandbox/sales-units/999999").json()
    person = merchant.client.get("/sandbox/persons/4712345678").json()

    assert (unit["push"], unit["longLiving"], unit["currency"]) == (True, True, None)
    assert (person["phoneNumber"], person["isUser"]) == ("4712345678", True)
    assert merchant.client.get("/sandbox/chaos").json()["lose"] == 0
    assert merchant.client.get("/sandbox/sales-units/abc").status_code == 404


def test_receipt_of_a_payment_is_read_through_order_management(merchant: Merchant) -> None:
    """The payment does not tell its receipt; Order Management does."""
    merchant.create(a_payment(REFERENCE, receipt=a_receipt()))

    answer = merchant.call("GET", f"/order-management/v2/ecom/{REFERENCE}")

    assert answer.json() == {"receipt": a_receipt()}
