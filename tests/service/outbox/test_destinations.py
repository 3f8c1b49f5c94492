"""One machine is not run over, however many subscriptions and names lead to it (T29)."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from ipaddress import ip_address

import pytest

from service.outbox.destinations import (
    PLACES_MAX,
    PLACES_OF_TROUBLED_MAX,
    DestinationBusy,
    Destinations,
)
from service.outbox.egress import BUSY, Reply, open_egress
from service.outbox.vetted import destination_of
from service.store.db import Database
from service.store.tables import Attempt, SubscriptionStatus
from tests.fake_merchant import Answer, FakeMerchant, Received, serve, until
from tests.service.outbox.builders import BUSY as UNAVAILABLE
from tests.service.outbox.builders import a_shop
from tests.service.outbox.wire import LOOPBACK
from tests.service.outbox.working import claim_now, settle_as

pytestmark = pytest.mark.anyio

_NOT_SENT = Reply(status=None, answer=b"", retry_after=None, latency_ms=1000, error=BUSY)


async def _names(_host: str) -> Sequence[str]:
    return ["127.0.0.1"]


async def test_post_under_many_names_to_one_machine_is_held_back() -> None:
    """Forty names of one machine that hangs: it gets 32 requests at once, the others wait."""
    merchant, released = FakeMerchant(), asyncio.Event()

    async def hang(_received: Received) -> Answer:
        await released.wait()
        return Answer()

    merchant.react = hang
    async with serve(merchant) as url, open_egress(allow=LOOPBACK, resolve=_names) as egress:
        urls = [url.replace("127.0.0.1", f"shop{n}.example") for n in range(PLACES_MAX + 8)]
        posts = [asyncio.create_task(egress.post(each, headers={}, body=b"{}")) for each in urls]
        await until(lambda: sum(post.done() for post in posts) == 8)
        turned_away = [post.result() for post in posts if post.done()]
        released.set()
        replies = [await post for post in posts]
        after = await egress.post(urls[-1], headers={}, body=b"{}")

    assert merchant.busiest == PLACES_MAX
    assert {(reply.error, reply.was_tried) for reply in turned_away} == {(BUSY, False)}
    assert sum(reply.is_accepted for reply in replies) == PLACES_MAX
    assert after.is_accepted


async def test_post_of_the_troubled_leaves_room_at_a_shared_address() -> None:
    """Behind one address, dead receivers take eight places; a healthy one still comes through."""
    merchant, released = FakeMerchant(), asyncio.Event()

    async def hang_but_for_one(received: Received) -> Answer:
        if "healthy" not in received.headers["host"]:
            await released.wait()
        return Answer()

    merchant.react = hang_but_for_one
    async with serve(merchant) as url, open_egress(allow=LOOPBACK, resolve=_names) as egress:
        dead = [
            asyncio.create_task(
                egress.post(
                    url.replace("127.0.0.1", f"dead{n}.example"),
                    headers={},
                    body=b"{}",
                    places_max=PLACES_OF_TROUBLED_MAX,
                )
            )
            for n in range(50)
        ]
        await until(lambda: merchant.is_busy_with == PLACES_OF_TROUBLED_MAX)
        healthy = url.replace("127.0.0.1", "healthy.example")
        reply = await egress.post(healthy, headers={}, body=b"{}")
        busiest = merchant.busiest
        released.set()
        await asyncio.gather(*dead)

    assert (reply.is_accepted, busiest) == (True, PLACES_OF_TROUBLED_MAX + 1)


async def test_visit_waits_for_a_place_and_takes_it_in_turn() -> None:
    """A moment's crowd is served one after the other, first come, first served."""
    destinations = Destinations()
    order: list[int] = []

    async def visit(number: int) -> None:
        async with destinations.visit("a:443", places_max=1):
            await destinations.arrive("a:443", "192.0.2.1")
            order.append(number)
            await asyncio.sleep(0)

    await asyncio.gather(*(visit(n) for n in range(20)))

    assert order == list(range(20))
    assert (destinations._held, destinations._waiting) == ({}, {})


async def test_visit_cancelled_or_turned_away_gives_its_place_back() -> None:
    """Whoever gives up, at whatever moment, keeps no place."""
    destinations = Destinations()

    async def visit() -> None:
        async with destinations.visit("a:443", places_max=2):
            await destinations.arrive("a:443", "192.0.2.1")
            await asyncio.Event().wait()

    inside = [asyncio.create_task(visit()) for _ in range(2)]
    waiting = asyncio.create_task(visit())
    async with AsyncExitStack() as stack:
        await asyncio.sleep(0)
        with pytest.raises(DestinationBusy):
            await stack.enter_async_context(destinations.visit("a:443", places_max=2))
    for each in (*inside, waiting):
        each.cancel()
    await asyncio.gather(*inside, waiting, return_exceptions=True)

    assert (destinations._held, destinations._waiting) == ({}, {})


async def test_arrive_elsewhere_moves_the_place() -> None:
    """A name that leads to another machine now counts there."""
    destinations = Destinations()

    async with destinations.visit("a:443", places_max=1):
        await destinations.arrive("a:443", "192.0.2.1")
        await destinations.arrive("a:443", "192.0.2.2")
        held = dict(destinations._held)
        async with destinations.visit("b:443", places_max=1):
            await destinations.arrive("b:443", "192.0.2.1")

    assert held == {"192.0.2.2": 1}


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("93.184.215.14", "93.184.215.14"),
        ("2606:2800:21f:cb07::1", "2606:2800:21f:cb07::/64"),
        ("2606:2800:21f:cb07:ffff::9", "2606:2800:21f:cb07::/64"),
        ("127.0.0.1", "127.0.0.1 9000"),
    ],
)
async def test_destination_of_is_a_machine(address: str, expected: str) -> None:
    """An IPv6 machine has a whole /64 to choose from; in my own network a port is a service."""
    assert destination_of(ip_address(address), 9000, allow=LOOPBACK) == expected


@pytest.mark.parametrize("status", [SubscriptionStatus.HEALTHY, SubscriptionStatus.UNVERIFIED])
async def test_settle_turned_away_is_no_try(status: SubscriptionStatus, database: Database) -> None:
    """That others keep my machine busy is not held against me: it is sent two seconds later."""
    shop = a_shop(database)
    key, _ = shop.subscribe(status=status)
    shop.tell("inv_1")

    first = claim_now(shop)
    settle_as(shop, first, _NOT_SENT)
    shop.now += timedelta(seconds=1.999)
    too_early = claim_now(shop)
    shop.now += timedelta(seconds=0.001)
    again = claim_now(shop)

    fares = shop.subscription(key)
    assert shop.all(Attempt) == []
    assert (too_early, [d.id for d in again]) == ([], [d.id for d in first])
    assert (fares.status, fares.failures) == (status, 0)
    assert UNAVAILABLE.was_tried


@pytest.mark.parametrize("steps", range(6))
async def test_visit_cancelled_as_its_place_comes_ends(steps: int) -> None:
    """A stop in the moment in which a place gets free is not forgotten, nor is the place."""
    destinations, entered = Destinations(), list[str]()

    async def visit(who: str) -> None:
        async with destinations.visit("shop.example:443", places_max=1):
            await destinations.arrive("shop.example:443", "192.0.2.1")
            entered.append(who)
            await asyncio.Event().wait()

    first = asyncio.create_task(visit("first"))
    await until(lambda: entered == ["first"])
    second = asyncio.create_task(visit("second"))
    await asyncio.sleep(0)
    first.cancel()
    for _ in range(steps):
        await asyncio.sleep(0)
    second.cancel()
    done, _ = await asyncio.wait([second], timeout=0.5)

    assert [each.cancelled() for each in done] == [True]
    async with destinations.visit("shop.example:443", places_max=1):
        pass
