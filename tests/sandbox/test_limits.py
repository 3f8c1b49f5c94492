"""Vipps's rate limits, on real time."""

from datetime import timedelta

import pytest

from service.sandbox import SandboxSettings
from tests.sandbox.harness import Merchant, TurnableClock, a_payment, sandbox

LIMITED = SandboxSettings()


def test_writes_beyond_five_a_minute_are_refused_with_a_wait() -> None:
    """Five calls a minute for one reference; the answer says when to come again."""
    clock = TurnableClock()
    with sandbox(LIMITED, real_now=clock) as merchant:
        answers = [merchant.create(a_payment()) for _ in range(6)]
        other = merchant.create(a_payment("invoice-0002"))
        wait_s = int(answers[5].headers["retry-after"])
        clock.ahead = timedelta(seconds=wait_s)
        later = merchant.create(a_payment())

    assert [a.status_code for a in answers] == [201] * 5 + [429]
    assert 1 <= wait_s <= 60
    assert (other.status_code, later.status_code) == (201, 201)


@pytest.mark.parametrize("operation", ["capture", "refund", "cancel"])
def test_each_operation_has_its_own_limit(operation: str) -> None:
    """Creating a payment takes nothing from the calls that change it."""
    with sandbox(LIMITED) as merchant:
        merchant.create(a_payment())
        path = f"/epayment/v1/payments/invoice-0001/{operation}"
        statuses = [merchant.call("POST", path, body={}, key="k").status_code for _ in range(6)]

    assert 429 not in statuses[:5]
    assert statuses[5] == 429


def test_creating_without_a_reference_counts_as_one() -> None:
    """A misspelled reference makes all payments the same to the limiter."""
    with sandbox(LIMITED) as merchant:
        bodies = [a_payment() | {"reference": None, "nonce": n} for n in range(6)]
        answers = [merchant.create(body, key=str(n)) for n, body in enumerate(bodies)]

    assert [a.status_code for a in answers] == [400] * 5 + [429]


def test_reads_beyond_a_hundred_and_twenty_a_minute_are_refused() -> None:
    """Reads have a limit too, by subscription key, the payment and its log apart."""
    with sandbox(LIMITED) as merchant:
        merchant.create(a_payment())
        path = "/epayment/v1/payments/invoice-0001"
        statuses = [merchant.call("GET", path).status_code for _ in range(121)]
        log = merchant.call("GET", f"{path}/events")

    assert statuses == [200] * 120 + [429]
    assert log.status_code == 200


def test_limits_can_be_switched_off(merchant: Merchant) -> None:
    """Benchmarks are not about the limits."""
    assert {merchant.create(a_payment()).status_code for _ in range(20)} == {201}
