"""Registering addresses for webhooks."""

import base64
import uuid

import pytest

from service.sandbox.registrations import EVENT_TYPES
from tests.sandbox.harness import OTHER_MSN, Merchant, code_of

ROOT = "/webhooks/v1/webhooks"
URL = "https://shop.example/webhooks?callback=webhook"


def test_registration_shows_its_secret_once(merchant: Merchant) -> None:
    """The secret looks like base64, has 88 characters, and is never shown again."""
    made = merchant.register(URL, events=EVENT_TYPES[:2])

    assert len(made["secret"]) == 88
    assert len(base64.b64decode(made["secret"])) == 64
    assert uuid.UUID(made["id"])
    shown = {"id": made["id"], "url": URL, "events": list(EVENT_TYPES[:2])}
    assert merchant.registrations() == [shown]


def test_registration_deleted_is_gone(merchant: Merchant) -> None:
    """A deleted registration is not listed, and cannot be deleted again."""
    made = merchant.register(URL)

    answers = [merchant.call("DELETE", f"{ROOT}/{made['id']}") for _ in range(2)]

    assert [answer.status_code for answer in answers] == [204, 404]
    assert merchant.registrations() == []


def test_registration_of_another_sales_unit_is_not_seen(merchant: Merchant) -> None:
    """Each sales unit sees and deletes its own registrations only."""
    made = merchant.register(URL)
    merchant.msn = OTHER_MSN

    assert made["id"] not in [entry["id"] for entry in merchant.registrations()]
    assert merchant.call("DELETE", f"{ROOT}/{made['id']}").status_code == 404


@pytest.mark.parametrize(
    "url",
    [
        "http://shop.example/webhooks",
        "ftp://shop.example",
        "shop.example",
        "https://",
        "https://user:word@shop.example/",
        "https://shop.example:99999/",
        "https://shop.example/a b",
        "https://shop.example/#part",
        "https://bål.example/",
        "customapp://webhooks",
        5,
        None,
    ],
)
def test_registration_of_a_bad_address_is_refused(merchant: Merchant, url: object) -> None:
    """Webhooks go to https; plain http is for this machine only."""
    answer = merchant.call("POST", ROOT, body={"url": url, "events": list(EVENT_TYPES)})

    assert (answer.status_code, code_of(answer)) == (400, "url")


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:9/x", "http://localhost/x", "http://[::1]:8080/x", "https://shop.example"],
)
def test_registration_of_a_good_address_is_made(merchant: Merchant, url: str) -> None:
    """https anywhere, and http towards the loopback."""
    assert merchant.register(url)["id"]


@pytest.mark.parametrize("events", [[], ["epayments.payment.paid.v1"], "all", None, [["x"]]])
def test_registration_for_unknown_events_is_refused(merchant: Merchant, events: object) -> None:
    """Only events that exist can be asked for."""
    answer = merchant.call("POST", ROOT, body={"url": URL, "events": events})

    assert (answer.status_code, code_of(answer)) == (400, "events")


def test_registration_beyond_twenty_five_for_one_event_is_refused(merchant: Merchant) -> None:
    """Twenty-five per event and sales unit; other events and units have room."""
    for _ in range(25):
        merchant.register(URL, events=EVENT_TYPES[:1])

    answer = merchant.call("POST", ROOT, body={"url": URL, "events": list(EVENT_TYPES[:2])})

    assert code_of(answer) == "events"
    merchant.register(URL, events=EVENT_TYPES[1:2])
    merchant.msn = OTHER_MSN
    merchant.register(URL, events=EVENT_TYPES[:1])


def test_registration_without_a_sales_unit_is_a_partners(merchant: Merchant) -> None:
    """A partner's registrations are apart from those of every sales unit."""
    msn = merchant.msn
    merchant.msn = ""
    made = merchant.register(URL)

    assert made["id"] in [entry["id"] for entry in merchant.registrations()]
    merchant.msn = msn
    assert merchant.registrations() == []
