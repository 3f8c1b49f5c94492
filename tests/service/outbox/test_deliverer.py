"""The whole way of an event: from the feed to a merchant's system that verifies it."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import psycopg
import pytest
import sqlalchemy as sa
from psycopg import sql
from standardwebhooks import Webhook
from structlog.testing import capture_logs

from service.errors import NotFound
from service.outbox.deliverer import Deliverer
from service.outbox.deliveries import AT_ONCE_PER_SUBSCRIPTION_MAX, Room, claim
from service.outbox.egress import Egress, open_egress
from service.outbox.fanout import fan_out
from service.outbox.ping import send_test
from service.outbox.places import LEASE_S
from service.store.db import Database
from service.store.tables import Attempt, Delivery, Event, Subscription, SubscriptionStatus
from tests.fake_merchant import Answer, FakeMerchant, Received, serve, until
from tests.service.outbox.builders import MSN, Shop, a_shop
from tests.service.outbox.wire import LOOPBACK
from webhooks import standard

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def delivering(shop: Shop) -> AsyncIterator[Egress]:
    """Run a deliverer for as long as the block does, and stop it as the service would."""
    stop = asyncio.Event()
    shop.wake.bind()
    async with open_egress(allow=LOOPBACK) as egress:
        running = asyncio.create_task(Deliverer(shop.context(), egress).run(stop))
        try:
            yield egress
        finally:
            stop.set()
            await asyncio.wait_for(running, 10)


@pytest.fixture
def shop(database: Database) -> Shop:
    """Return a service whose clock stands at the real time, which receivers check."""
    made = a_shop(database)
    made.now = datetime.now(UTC)
    return made


def _is_settled(shop: Shop, count: int) -> bool:
    return len([d for d in shop.all(Delivery) if d.settled_at is not None]) >= count


async def test_deliverer_of_a_new_subscription_pings_then_tells(shop: Shop) -> None:
    """I get a signed ping at once, then my events: verified, in order, the stored bytes."""
    merchant = FakeMerchant()

    async with serve(merchant) as url, delivering(shop):
        key, secret = shop.subscribe(f"{url}/in", status=SubscriptionStatus.UNVERIFIED)
        merchant.secrets.append(secret)
        events = shop.tell_many("inv_1", "inv_1", "inv_2")
        shop.wake.events.set()
        await until(lambda: _is_settled(shop, 4))

    ping = merchant.received[0]
    stored = {
        event.id: shop.vault.open(event.payload, place=f"event:{event.id}:payload")
        for event in shop.all(Event)
    }
    assert all(received.is_verified for received in merchant.received)
    assert (ping.event["type"], ping.event["sequence"], ping.event["data"]) == ("test.ping", 0, {})
    assert ping.event["id"] == ping.webhook_id
    assert {r.webhook_id: r.body for r in merchant.received[1:]} == stored
    order = [received.webhook_id for received in merchant.received]
    assert order.index(events[0]) < order.index(events[1])
    assert merchant.received[0].headers["content-type"] == "application/json"
    assert shop.subscription(key).status == SubscriptionStatus.HEALTHY


async def test_deliverer_trying_again_sends_the_same_bytes_signed_anew(shop: Shop) -> None:
    """A retry has the same id and bytes, and a timestamp and signature of its own."""
    merchant = FakeMerchant()
    merchant.react = _say(503, 503, 204)

    async with serve(merchant) as url, delivering(shop):
        _, secret = shop.subscribe(url)
        merchant.secrets.append(secret)
        event = shop.tell()
        for tries in (1, 2):
            await until(lambda: len(shop.all(Attempt)) == tries)  # noqa: B023 - awaited here
            shop.later(seconds=73)
        await until(lambda: _is_settled(shop, 1))

    tried = merchant.received
    assert [received.webhook_id for received in tried] == [event] * 3
    assert len({received.body for received in tried}) == 1
    assert len({received.headers["webhook-timestamp"] for received in tried}) == 3
    assert len({received.headers["webhook-signature"] for received in tried}) == 3
    assert all(received.is_verified for received in tried)
    assert [a.status for a in shop.all(Attempt)] == [503, 503, 204]


async def test_deliverer_with_one_invoice_poisoned_tells_the_others(shop: Shop) -> None:
    """An event I always refuse holds up its own invoice; all others come through."""
    merchant = FakeMerchant()

    async def refuse_one(received: Received) -> Answer:
        return Answer(500 if received.event.get("invoice") == "inv_0" else 204)

    merchant.react = refuse_one

    async with serve(merchant) as url, delivering(shop):
        shop.subscribe(url)
        poisoned = shop.tell_many("inv_0", "inv_0")
        others = shop.tell_many(*(f"inv_{n % 5 + 1}" for n in range(40)))
        await until(lambda: _is_settled(shop, 40))

    got = [event["id"] for event in merchant.events()]
    assert sorted(got) == sorted([poisoned[0], *others])
    for n in range(5):
        line = others[n::5]
        assert [each for each in got if each in line] == line


async def test_deliverer_with_a_slow_receiver_serves_the_quick(shop: Shop) -> None:
    """A system that begins to hang takes ten places; mine beside it is told at once."""
    slow, quick = FakeMerchant(), FakeMerchant()
    released = asyncio.Event()

    async def hang(_received: Received) -> Answer:
        if len(slow.received) > 1:
            await released.wait()
        return Answer()

    slow.react = hang

    async with serve(slow) as slow_url, serve(quick) as quick_url, delivering(shop):
        shop.subscribe(slow_url)
        shop.subscribe(quick_url)
        shop.tell_many(*(f"inv_{n}" for n in range(100)))
        await until(lambda: len(quick.received) == 100)
        await until(lambda: slow.is_busy_with == AT_ONCE_PER_SUBSCRIPTION_MAX)
        hanging = slow.is_busy_with
        released.set()
        await until(lambda: _is_settled(shop, 200))

    assert hanging == AT_ONCE_PER_SUBSCRIPTION_MAX
    assert slow.busiest == AT_ONCE_PER_SUBSCRIPTION_MAX


async def test_deliverer_signs_with_every_living_secret_and_our_key(shop: Shop) -> None:
    """While I rotate, both secrets verify; a secret past its end does not sign."""
    merchant = FakeMerchant()
    old, ended = standard.new_secret(b"o" * 32), standard.new_secret(b"e" * 32)

    async with serve(merchant) as url:
        key, new = shop.subscribe(url)
        _rotate(shop, key, {new: None, old: shop.now + timedelta(1), ended: shop.now})
        async with delivering(shop):
            shop.tell()
            await until(lambda: _is_settled(shop, 1))

    got = merchant.received[0]
    for secret in (new, old):
        assert Webhook(secret).verify(got.body, got.headers)
    with pytest.raises(Exception, match="No matching signature"):
        Webhook(ended).verify(got.body, got.headers)
    public = standard.public_key_text(shop.vault.signing_key)
    assert standard.verify(got.headers, got.body, keys=[public], now=shop.now) == got.webhook_id
    assert len(got.headers["webhook-signature"].split()) == 3


async def test_deliverer_told_gone_stops_sending(shop: Shop) -> None:
    """After my 410 nothing more comes, and the reason is there to read."""
    merchant = FakeMerchant()
    merchant.react = _say(410)

    async with serve(merchant) as url, delivering(shop):
        key, _ = shop.subscribe(url)
        shop.tell("inv_1")
        await until(lambda: len(shop.all(Attempt)) == 1)
        shop.tell("inv_1")
        shop.later(hours=1)
        shop.tell("inv_2")
        await until(lambda: shop.subscription(key).reason == "gone")

    assert len(merchant.received) == 1


async def test_deliverer_after_a_kill_sends_what_was_in_hand_again(shop: Shop) -> None:
    """Killed between my answer and its mark, it tells me again, under the same id."""
    merchant = FakeMerchant()

    async with serve(merchant) as url:
        shop.subscribe(url)
        event = shop.tell()
        with shop.database.transaction() as session:
            fan_out(session, now=shop.now, limit=10)
            killed = claim(session, now=shop.now, lease_s=LEASE_S, room=Room(10, 10))
        async with delivering(shop):
            other = shop.tell("inv_2")
            await until(lambda: _is_settled(shop, 1))
            shop.later(seconds=LEASE_S)
            await until(lambda: _is_settled(shop, 2))

    assert [delivery.event_id for delivery in killed] == [event]
    assert [received.webhook_id for received in merchant.received] == [other, event]


async def test_deliverer_stopped_finishes_what_is_in_hand(shop: Shop) -> None:
    """A restart of the service does not cost me a second copy of what I am just answering."""
    merchant = FakeMerchant()
    released = asyncio.Event()

    async def wait(_received: Received) -> Answer:
        await released.wait()
        return Answer()

    merchant.react = wait

    async with serve(merchant) as url, delivering(shop):
        shop.subscribe(url)
        shop.tell_many("inv_1", "inv_1")
        await until(lambda: merchant.is_busy_with == 1)
        asyncio.get_running_loop().call_later(0.2, released.set)

    first, second = shop.all(Delivery)
    assert (first.status, second.status) == ("delivered", "pending")
    assert len(merchant.received) == 1


async def test_deliverer_with_an_event_that_cannot_be_opened_goes_on(shop: Shop) -> None:
    """One broken row is logged and keeps its lease; everybody else's events go out."""
    merchant = FakeMerchant()

    async with serve(merchant) as url:
        shop.subscribe(url)
        broken, whole = shop.tell_many("inv_1", "inv_2")
        with shop.database.transaction() as session:
            session.get_one(Event, broken).payload = b"\x01junk"
        with capture_logs() as logs:
            async with delivering(shop):
                await until(lambda: _is_settled(shop, 1))

    kept = shop.all(Delivery, Delivery.event_id == broken)[0]
    assert [event["id"] for event in merchant.events()] == [whole]
    assert (kept.status, kept.lease is not None, kept.attempts) == ("pending", True, 0)
    errors = [entry["event"] for entry in logs if entry["log_level"] == "error"]
    assert errors == ["delivery_failed"]


async def test_deliverer_with_the_database_away_keeps_what_was_answered(
    shop: Shop, database_url: str
) -> None:
    """I answered, and then the database went away: it is noted later, and not sent again."""
    merchant = FakeMerchant()
    released = asyncio.Event()

    async def wait(_received: Received) -> Answer:
        await released.wait()
        return Answer()

    merchant.react = wait

    async with serve(merchant) as url, delivering(shop):
        shop.subscribe(url)
        events = shop.tell_many("inv_1", "inv_2")
        await until(lambda: merchant.is_busy_with == 1)
        with capture_logs() as logs, away(database_url):
            released.set()
            await until(lambda: any(entry["event"] == "database_away" for entry in logs))
        await until(lambda: _is_settled(shop, 2))

    assert sorted(received.webhook_id for received in merchant.received) == sorted(events)
    assert [attempt.status for attempt in shop.all(Attempt)] == [204, 204]


async def test_send_test_answered_2xx_verifies_and_sets_the_queue_free(shop: Shop) -> None:
    """I can ask for a ping now, see what my system said, and need not wait for the schedule."""
    merchant = FakeMerchant()
    merchant.react = _say(500, 204)

    async with serve(merchant) as url, delivering(shop) as egress:
        key, secret = shop.subscribe(url, status=SubscriptionStatus.UNVERIFIED)
        merchant.secrets.append(secret)
        waiting = shop.tell()
        await until(lambda: len(shop.all(Attempt)) == 1)
        ping, reply = await send_test(shop.context(), egress, msn=MSN, subscription_id=key)
        await until(lambda: _is_settled(shop, 1))

    tested = merchant.received[1]
    assert (reply.status, reply.error) == (204, None)
    assert tested.is_verified
    assert (tested.webhook_id, tested.event["type"]) == (ping, "test.ping")
    assert [received.webhook_id for received in merchant.received[2:]] == [waiting]
    assert shop.subscription(key).status == SubscriptionStatus.HEALTHY
    assert shop.all(Event, Event.id == ping) == []


async def test_send_test_refused_leaves_all_as_it_was(shop: Shop) -> None:
    """A test that fails tells me so and changes nothing."""
    merchant = FakeMerchant()
    merchant.react = _say(410)

    async with serve(merchant) as url, open_egress(allow=LOOPBACK) as egress:
        key, _ = shop.subscribe(url)
        _, reply = await send_test(shop.context(), egress, msn=MSN, subscription_id=key)
        with pytest.raises(NotFound):
            await send_test(shop.context(), egress, msn="654321", subscription_id=key)

    assert (reply.status, reply.is_accepted) == (410, False)
    assert shop.subscription(key).status == SubscriptionStatus.HEALTHY
    assert len(merchant.received) == 1


def _say(*statuses: int) -> Any:
    """Return a merchant's reaction: these statuses in turn, the last one for ever."""
    left = list(statuses)

    async def react(_received: Received) -> Answer:
        return Answer(left.pop(0) if len(left) > 1 else left[0])

    return react


def _rotate(shop: Shop, key: str, secrets: dict[str, datetime | None]) -> None:
    listed = [
        {"secret": secret, "until": until_ and until_.isoformat()}
        for secret, until_ in secrets.items()
    ]
    sealed = shop.vault.seal(orjson.dumps(listed), place=f"subscription:{key}:secrets")
    with shop.database.transaction() as session:
        session.get_one(Subscription, key).secrets = sealed


@contextmanager
def away(url: str) -> Iterator[None]:
    """Take the database away from everybody else, really, for as long as the block runs."""
    parts = sa.make_url(url)
    if parts.get_backend_name() == "sqlite":
        with closing(sqlite3.connect(str(parts.database), isolation_level=None)) as holder:
            holder.execute("BEGIN IMMEDIATE")
            yield
        return
    server = parts.set(database="postgres").render_as_string(hide_password=False)
    name = sql.Identifier(str(parts.database))
    switch = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
    with psycopg.connect(server, autocommit=True) as holder:
        holder.execute(switch.format(name, sql.SQL("false")))
        holder.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
            [parts.database],
        )
        yield
        holder.execute(switch.format(name, sql.SQL("true")))
