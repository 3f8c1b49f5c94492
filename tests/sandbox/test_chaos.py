"""Trouble on request."""

from dataclasses import replace
from typing import Any

import httpx
import pytest

from service.sandbox.chaos import Chaos, ChaosPlan
from tests.sandbox.harness import CALM, Merchant, a_payment, sandbox
from tests.sandbox.receiver import Receiver


def plan(merchant: Merchant, **shares: Any) -> None:
    """Set the chaos, with a token in hand before it starts."""
    merchant.headers()
    assert merchant.client.put("/sandbox/chaos", json=shares).status_code == 200


def test_status_before_acting_changes_nothing(lone_merchant: Merchant) -> None:
    """A 429 or 5xx says that nothing was done, and nothing was."""
    for shares, statuses in (({"status429": 1}, {429}), ({"status5xx": 1}, {500, 503})):
        plan(lone_merchant, **shares)

        answers = [lone_merchant.create(a_payment(f"invoice-{n:04}")) for n in range(20)]

        assert {answer.status_code for answer in answers} == statuses
    assert answers[0].headers.get("retry-after") is None
    assert lone_merchant.effects() == []


def test_429_says_when_to_come_again(lone_merchant: Merchant) -> None:
    """A client can honour Retry-After."""
    plan(lone_merchant, status429=1)

    assert lone_merchant.create(a_payment()).headers["retry-after"] == "1"


def test_timeout_after_acting_leaves_the_effect(lone_merchant: Merchant) -> None:
    """The answer never comes, yet the payment is made; the same key then tells so."""
    plan(lone_merchant, timeoutAfterActing=1)
    lone_merchant.client.timeout = httpx.Timeout(0.3)
    with pytest.raises(httpx.ReadTimeout):
        lone_merchant.create(a_payment())
    plan(lone_merchant)

    again = lone_merchant.create(a_payment())

    assert again.status_code == 201
    assert [e["effect"] for e in lone_merchant.effects()] == ["created"]


def test_silence_ends_with_a_gateways_504() -> None:
    """A caller with more patience than the gateway learns nothing either."""
    with sandbox(replace(CALM, silence_s=0.05)) as merchant:
        plan(merchant, timeoutAfterActing=1)

        assert merchant.create(a_payment()).status_code == 504
        assert len(merchant.effects()) == 1


def test_lost_webhooks_never_come(lone_merchant: Merchant, receiver: Receiver) -> None:
    """What is lost is lost; the event log still has it."""
    lone_merchant.register(receiver.url)
    plan(lone_merchant, lose=1)
    lone_merchant.create(a_payment("invoice-0001"))
    plan(lone_merchant)
    lone_merchant.create(a_payment("invoice-0002"))

    received = receiver.wait_for(1)

    assert [r.event["reference"] for r in received] == ["invoice-0002"]
    assert lone_merchant.names("invoice-0001") == ["CREATED"]


def test_doubled_webhooks_come_twice_with_the_same_bytes(
    lone_merchant: Merchant, receiver: Receiver
) -> None:
    """A twin is byte for byte the same."""
    lone_merchant.register(receiver.url)
    plan(lone_merchant, duplicate=1)
    lone_merchant.create(a_payment("invoice-0001"))

    received = receiver.wait_for(2)

    assert len({r.body for r in received}) == 1


def test_reordered_webhooks_come_out_of_order(lone_merchant: Merchant, receiver: Receiver) -> None:
    """Moved webhooks overtake each other, also within a payment; none is missing."""
    lone_merchant.register(receiver.url)
    plan(lone_merchant, reorder=1, seed=1)
    for number in range(5):
        lone_merchant.create(a_payment(f"invoice-{number:04}"))
        lone_merchant.act("approve", f"invoice-{number:04}")

    received = receiver.wait_for(10)

    told = [r.event["pspReference"] for r in received]
    happened = [e["pspReference"] for e in lone_merchant.effects()]
    assert told != happened
    assert sorted(told) == sorted(happened)


def test_delayed_webhooks_come_later_in_order(lone_merchant: Merchant, receiver: Receiver) -> None:
    """A delay holds everything back without changing the order."""
    lone_merchant.register(receiver.url)
    plan(lone_merchant, delaySeconds=0.5)
    lone_merchant.create(a_payment("invoice-0001"))
    lone_merchant.act("approve", "invoice-0001")
    assert receiver.received == []

    assert [r.name for r in receiver.wait_for(2)] == ["CREATED", "AUTHORIZED"]


def test_chaos_of_one_seed_is_always_the_same() -> None:
    """The same calls in the same order meet the same fate, in every share's proportion."""
    shares = ChaosPlan(lose=0.3, duplicate=0.3, status_429=0.1, status_5xx=0.1, seed=7)

    fates = []
    for start_seed in (1, 2):
        chaos = Chaos(start_seed)
        chaos.set(shares)
        calls = [chaos.call_fate() for _ in range(1000)]
        fates.append((calls, [chaos.webhook_fate() for _ in range(1000)]))

    assert fates[0] == fates[1]
    assert 250 < sum(fate.copies == 0 for fate in fates[0][1]) < 350
    assert 60 < sum(fate.status == 429 for fate in fates[0][0]) < 140


def test_chaos_of_one_seed_repeats_itself_request_by_request() -> None:
    """Two runs with the same seed and the same requests go wrong in the same places."""
    runs = []
    for _ in range(2):
        with sandbox() as merchant:
            plan(merchant, status429=0.3, status5xx=0.3, seed=42)
            answers = [merchant.create(a_payment(f"invoice-{n:04}")) for n in range(30)]
            plan(merchant, status429=0.3, status5xx=0.3, seed=42)
            again = [merchant.create(a_payment(f"invoice-{n:04}")) for n in range(30)]
            runs.append([answer.status_code for answer in (*answers, *again)])

    assert runs[0] == runs[1]
    assert runs[0][:30] == runs[0][30:]
    assert {201, 429} < set(runs[0])
