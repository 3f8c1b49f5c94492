"""Receivers that go away and come back, over real HTTP; secrets that change; sending again."""

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from service.outbox import again, changing
from service.store.db import Database
from service.store.tables import Attempt, Delivery, Subscription, SubscriptionStatus
from tests.fake_merchant import Answer, FakeMerchant, Received, serve, until
from tests.service.outbox.builders import MSN, Shop, a_shop
from tests.service.outbox.test_deliverer import delivering

pytestmark = pytest.mark.anyio


@pytest.fixture
def shop(database: Database) -> Shop:
    """Return a service whose clock stands at the real time, which receivers check."""
    made = a_shop(database)
    made.now = datetime.now(UTC)
    return made


def _delivered(shop: Shop) -> int:
    return len(shop.all(Delivery, Delivery.status == "delivered"))


async def test_deliverer_of_a_receiver_that_comes_back_sends_its_queue_in_order(
    shop: Shop,
) -> None:
    """My system is down, another one of mine is told so; up again, it gets everything in order."""
    down, other = FakeMerchant(), FakeMerchant()
    is_up = asyncio.Event()

    async def react(_received: Received) -> Answer:
        return Answer(204 if is_up.is_set() else 503)

    down.react = react
    async with serve(down) as url, serve(other) as other_url, delivering(shop):
        key, _ = shop.subscribe(url)
        _, secret = shop.subscribe(other_url, "subscription.degraded")
        other.secrets.append(secret)
        events = shop.tell_many(*(f"inv_{n % 3}" for n in range(9)))
        shop.wake.events.set()
        while shop.subscription(key).status != SubscriptionStatus.DEGRADED:
            tries = len(shop.all(Attempt))
            shop.later(seconds=75)  # past the schedule's first two steps
            await until(lambda: len(shop.all(Attempt)) > tries)  # noqa: B023 - awaited here
        await until(lambda: len(other.received) == 1)
        is_up.set()
        shop.later(minutes=2)
        await until(lambda: _delivered(shop) == 10)

    accepted = [r.webhook_id for r in down.received if r.webhook_id in events]
    last = list(dict.fromkeys(reversed(accepted)))[::-1]
    for n in range(3):
        assert [event for event in last if event in events[n::3]] == events[n::3]
    assert shop.subscription(key).status == SubscriptionStatus.HEALTHY
    told = other.received[0]
    assert told.is_verified
    assert told.event["data"]["subscription"]["id"] == key
    assert url not in told.body.decode()
    assert not [r for r in down.received if r.event.get("type") == "subscription.degraded"]


async def test_deliverer_beside_two_dozen_that_hang_tells_the_healthy_at_once(shop: Shop) -> None:
    """Two dozen dead systems of mine hold nothing up for the one that lives."""
    dead, healthy = FakeMerchant(), FakeMerchant()
    released = asyncio.Event()

    async def hang(_received: Received) -> Answer:
        await released.wait()
        return Answer()

    dead.react = hang
    async with AsyncExitStack() as stack:
        dead_url = await stack.enter_async_context(serve(dead))
        healthy_url = await stack.enter_async_context(serve(healthy))
        for n in range(24):
            is_known = n % 2 == 0
            status = SubscriptionStatus.HEALTHY if is_known else SubscriptionStatus.UNVERIFIED
            shop.subscribe(f"{dead_url}/{n}", status=status)
        shop.subscribe(healthy_url)
        await stack.enter_async_context(delivering(shop))
        events = shop.tell_many(*(f"inv_{n % 20}" for n in range(60)))
        shop.wake.events.set()
        await until(lambda: len(healthy.received) == 60)
        hanging = dead.is_busy_with
        released.set()

    assert sorted(received.webhook_id for received in healthy.received) == sorted(events)
    assert hanging > 0


async def test_rotate_secret_lets_both_sign_until_the_overlap_is_over(shop: Shop) -> None:
    """I change the secret at leisure: for the time I chose, either one verifies."""
    merchant = FakeMerchant()

    async with serve(merchant) as url:
        key, old = shop.subscribe(url)
        with shop.database.transaction() as session:
            mine = session.get_one(Subscription, key)
            new = changing.rotate_secret(session, shop.vault, mine, overlap_s=60, now=shop.now)
        async with delivering(shop):
            shop.tell()
            await until(lambda: _delivered(shop) == 1)
            shop.later(seconds=60)
            shop.tell()
            await until(lambda: _delivered(shop) == 2)

    during, after = merchant.received
    for secret in (old, new):
        assert Webhook(secret).verify(during.body, during.headers)
    assert Webhook(new).verify(after.body, after.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(old).verify(after.body, after.headers)
    assert [len(r.headers["webhook-signature"].split()) for r in (during, after)] == [3, 2]


async def test_redeliver_sends_the_same_id_and_bytes(shop: Shop) -> None:
    """What I ask for again is what I got before, to the byte; only time and signature differ."""
    merchant = FakeMerchant()

    async with serve(merchant) as url, delivering(shop):
        _, secret = shop.subscribe(url)
        merchant.secrets.append(secret)
        shop.tell()
        await until(lambda: _delivered(shop) == 1)
        shop.later(seconds=7)
        with shop.database.transaction() as session:
            delivery = shop.all(Delivery)[0].id
            again.redeliver(session, msn=MSN, delivery_id=delivery, now=shop.now)
        await until(lambda: len(shop.all(Attempt)) == 2)

    first, second = merchant.received
    assert (first.webhook_id, first.body) == (second.webhook_id, second.body)
    assert first.headers["webhook-timestamp"] != second.headers["webhook-timestamp"]
    assert first.is_verified and second.is_verified
