"""Webhooks on their way: signed, in order, tried again, given up."""

from collections.abc import Callable
from dataclasses import replace

import orjson
import pytest

from tests.sandbox.harness import (
    CALM,
    OTHER_MSN,
    Merchant,
    a_payment,
    sandbox,
)
from tests.sandbox.receiver import Received, Receiver
from webhooks.errors import SignatureMismatch

FAST = replace(CALM, retry_scale=0.005)


def failing(
    count: int, *, on: Callable[[Received], bool], status: int = 500
) -> Callable[[Received], int]:
    """Return what answers that status so many times to what it is on, and then 200."""
    left = [count]

    def answer(received: Received) -> int:
        if left[0] and on(received):
            left[0] -= 1
            return status
        return 200

    return answer


def pay(merchant: Merchant, reference: str) -> None:
    """Have a payment made, approved and captured."""
    merchant.create(a_payment(reference))
    merchant.act("approve", reference)
    merchant.adjust("capture", reference, value=20_000, key=f"capture-{reference}")


def test_webhook_is_signed_as_vipps_signs(merchant: Merchant, receiver: Receiver) -> None:
    """Every webhook verifies with the registration's secret, and with no other."""
    made = merchant.register(receiver.url)
    pay(merchant, "invoice-0001")

    for received in receiver.wait_for(3):
        received.verify(receiver.url, made["secret"])
        with pytest.raises(SignatureMismatch):
            received.verify(receiver.url, "another secret")
        with pytest.raises(SignatureMismatch):
            received.verify(receiver.url + "2", made["secret"])


def test_webhook_carries_the_headers_of_real_ones(merchant: Merchant, receiver: Receiver) -> None:
    """Also the undocumented headers are there; Webhook-Id names the registration."""
    made = merchant.register(receiver.url)
    pay(merchant, "invoice-0001")

    headers = receiver.wait_for(1)[0].headers

    assert headers["webhook-id"] == made["id"]
    assert headers["x-vipps-authorization"] == headers["authorization"]
    assert headers["user-agent"] == "Vipps MobilePay/1.0 Webhooks/1.0"
    assert headers["content-type"] == "application/json; charset=utf-8"
    assert headers["accept-encoding"] == "gzip"


def test_webhook_body_is_compact_json_in_vippss_order(
    merchant: Merchant, receiver: Receiver
) -> None:
    """The bytes have the order and the density of real ones, and tell this event's amount."""
    merchant.register(receiver.url)
    merchant.create(a_payment("invoice-0001"), key="create")
    merchant.act("approve", "invoice-0001")
    merchant.adjust("capture", "invoice-0001", value=5_000, key="capture")
    merchant.cancel("invoice-0001", key="cancel")

    received = receiver.wait_for(4)

    assert [r.body for r in received] == [orjson.dumps(r.event) for r in received]
    names = ["msn", "reference", "pspReference", "name", "amount", "timestamp"]
    assert list(received[2].event) == [*names, "idempotencyKey", "success"]
    assert list(received[3].event) == [*names, "success"]
    assert [r.event["amount"]["value"] for r in received] == [20_000, 20_000, 5_000, 15_000]
    log = merchant.events("invoice-0001")
    assert [r.event["pspReference"] for r in received] == [e["pspReference"] for e in log]
    assert {r.event["msn"] for r in received} == {merchant.msn}


@pytest.mark.parametrize(
    ("acts", "names"),
    [
        (["reject"], ["CREATED", "ABORTED"]),
        (["cancel"], ["CREATED", "TERMINATED"]),
        (["approve", "capture", "refund"], ["CREATED", "AUTHORIZED", "CAPTURED", "REFUNDED"]),
        (["approve", "cancel"], ["CREATED", "AUTHORIZED", "CANCELLED"]),
    ],
)
def test_webhook_is_sent_for_every_event(
    merchant: Merchant, receiver: Receiver, acts: list[str], names: list[str]
) -> None:
    """Whatever happens to a payment is told, in the order it happened."""
    merchant.register(receiver.url)
    merchant.create(a_payment("invoice-0001"))
    for act in acts:
        if act == "cancel":
            merchant.cancel("invoice-0001")
        elif act in ("capture", "refund"):
            merchant.adjust(act, "invoice-0001", value=100, key=act)
        else:
            merchant.act(act, "invoice-0001")

    assert [received.name for received in receiver.wait_for(len(names))] == names


def test_webhook_of_expiry_needs_nobody_to_ask(receiver: Receiver) -> None:
    """A payment expires by the clock and is told, without a call that looks at it."""
    with sandbox(FAST) as merchant:
        merchant.register(receiver.url)
        merchant.create(a_payment("invoice-0001"))
        merchant.advance(601)

        names = [received.name for received in receiver.wait_for(2)]

    assert names == ["CREATED", "EXPIRED"]


def test_webhook_of_authorization_carries_shared_data(
    merchant: Merchant, receiver: Receiver
) -> None:
    """With a scope, `sub` and `userDetails` come with AUTHORIZED and with nothing else."""
    merchant.register(receiver.url)
    merchant.create(a_payment("invoice-0001", profile={"scope": "phoneNumber"}))
    merchant.act("approve", "invoice-0001")
    merchant.adjust("capture", "invoice-0001", value=100, key="c")

    created, authorized, captured = receiver.wait_for(3)

    assert authorized.event["userDetails"]["mobileNumber"] == "4791234567"
    assert authorized.event["sub"] == merchant.get("invoice-0001")["profile"]["sub"]
    assert "sub" not in created.event
    assert "sub" not in captured.event


def test_webhook_goes_only_to_who_asked_for_it(merchant: Merchant, receiver: Receiver) -> None:
    """A registration hears of its own sales unit's events, and of those it named."""
    merchant.register(receiver.url, events=("epayments.payment.captured.v1",))
    msn = merchant.msn
    merchant.msn = OTHER_MSN
    pay(merchant, "invoice-of-another")
    merchant.msn = msn
    pay(merchant, "invoice-0001")
    pay(merchant, "invoice-0002")

    received = receiver.wait_for(2)

    assert [(r.event["reference"], r.name) for r in received] == [
        ("invoice-0001", "CAPTURED"),
        ("invoice-0002", "CAPTURED"),
    ]


def test_webhooks_of_a_partner_cover_every_sales_unit(receiver: Receiver) -> None:
    """A registration without a sales unit hears of all; `msn` says which."""
    with sandbox(FAST) as merchant:
        merchant.msn = ""
        merchant.register(receiver.url)
        for msn in ("111111", "222222"):
            merchant.msn = msn
            merchant.create(a_payment("invoice-0001"))

        assert [r.event["msn"] for r in receiver.wait_for(2)] == ["111111", "222222"]


def test_webhooks_keep_the_order_of_events(merchant: Merchant, receiver: Receiver) -> None:
    """A registration hears of events in the order they happened, also across payments."""
    merchant.register(receiver.url)
    for number in range(10):
        pay(merchant, f"invoice-{number:04}")

    received = receiver.wait_for(30)

    told = [r.event["pspReference"] for r in received]
    assert told == [e["pspReference"] for e in merchant.effects()]


@pytest.mark.parametrize("status", [500, 404, 201, 202, 301, 0])
def test_webhook_without_a_200_is_sent_again(receiver: Receiver, status: int) -> None:
    """Any other answer, or none in time, and the same bytes come again."""
    receiver.answer_with = failing(2, on=lambda _: True, status=status)
    with sandbox(replace(FAST, answer_timeout_s=0.3)) as merchant:
        made = merchant.register(receiver.url)
        merchant.create(a_payment("invoice-0001"))
        received = receiver.wait_for(3)

    assert len({r.body for r in received}) == 1
    assert {r.headers["webhook-id"] for r in received} == {made["id"]}


def test_webhook_is_signed_anew_for_each_attempt(receiver: Receiver) -> None:
    """The date is that of the attempt, so a receiver may refuse old ones."""
    receiver.answer_with = failing(1, on=lambda _: True)
    with sandbox(replace(FAST, retry_scale=0.6)) as merchant:
        made = merchant.register(receiver.url)
        merchant.create(a_payment("invoice-0001"))
        first, second = receiver.wait_for(2)

    assert first.headers["x-ms-date"] != second.headers["x-ms-date"]
    assert first.headers["authorization"] != second.headers["authorization"]
    second.verify(receiver.url, made["secret"])


def test_webhook_that_fails_blocks_only_its_payment(receiver: Receiver) -> None:
    """Later events of that payment wait; those of other payments go on."""
    bad = "invoice-0001"
    receiver.answer_with = failing(4, on=lambda r: r.event["reference"] == bad)
    with sandbox(FAST) as merchant:
        merchant.register(receiver.url)
        pay(merchant, bad)
        pay(merchant, "invoice-0002")
        received = receiver.wait_for(10)

    told = [(r.event["reference"], r.name) for r in received]
    assert [name for reference, name in told if reference == bad] == [
        *["CREATED"] * 5,
        "AUTHORIZED",
        "CAPTURED",
    ]
    others = [n for n, (reference, _) in enumerate(told) if reference == "invoice-0002"]
    # The fifth attempt comes 60 s, here 0.3 s, after the fourth.
    assert max(others) < told.index((bad, "AUTHORIZED"))


def test_webhooks_to_two_registrations_have_their_own_secrets(
    merchant: Merchant, receiver: Receiver
) -> None:
    """During a rotation both registrations get every event, each signed with its own."""
    secrets = {}
    for _ in range(2):
        made = merchant.register(receiver.url)
        secrets[made["id"]] = made["secret"]
    merchant.create(a_payment("invoice-0001"))

    received = receiver.wait_for(2)

    assert {r.headers["webhook-id"] for r in received} == set(secrets)
    for one in received:
        one.verify(receiver.url, secrets[one.headers["webhook-id"]])


def test_webhooks_by_the_thousand_all_arrive(receiver: Receiver) -> None:
    """A thousand webhooks that a dead address does not take hold up no good one."""
    settings = replace(CALM, deliveries_per_registration_max=16)
    with sandbox(settings) as merchant:
        merchant.client.event_hooks = {}  # Comparing each answer would take most of the time.
        merchant.register("http://127.0.0.1:9/dead")
        merchant.register(receiver.url)
        for number in range(500):
            merchant.create(a_payment(f"invoice-{number:04}"))
            merchant.cancel(f"invoice-{number:04}")
        received = receiver.wait_for(1000)

    assert len({r.body for r in received}) == len(received) == 1000
