"""Every event reaches the broker, in order, as a CloudEvent."""

import asyncio
from datetime import timedelta

import orjson
import pytest
from nats.js.api import DiscardPolicy

from service.broker import positions
from service.broker.positions import LEASE, claim, let_go_at_end, put_off_s
from service.clock import real_now
from service.store.db import Database
from tests.builders import BASE_URL, MSN, ONLY_SQLITE, OTHER_MSN
from tests.nats_server import NatsServer
from tests.service.broker.press import Press, a_press, until

pytestmark = pytest.mark.anyio


async def test_events_are_published_in_feed_order(press: Press, broker: NatsServer) -> None:
    """The stream holds what the feed holds, also what happened before it was turned on."""
    press.invoice()
    press.invoice()

    async with press.publishing():
        press.invoice()
        await until(lambda: press.position() == 3, "published")

    assert [event["id"] for event in await broker.events()] == press.feed()
    assert press.failing() == []


@ONLY_SQLITE
async def test_event_is_a_structured_cloud_event(press: Press, broker: NatsServer) -> None:
    """Any CloudEvents library reads it, and `data` is the event byte for byte."""
    press.invoice()

    async with press.publishing():
        await until(lambda: press.position() == 1, "published")

    [message], [payload] = await broker.messages(), press.payloads()
    event, stored = orjson.loads(message.data), orjson.loads(payload)
    assert {name: event[name] for name in event if name != "data"} == {
        "specversion": "1.0",
        "id": stored["id"],
        "source": f"{BASE_URL}/sales-units/{MSN}",
        "type": "invoice.created",
        "subject": stored["data"]["invoice"]["reference"],
        "time": stored["timestamp"],
        "datacontenttype": "application/json",
    }
    assert message.data.endswith(b'"data":' + payload + b"}")
    assert message.subject == f"betalbar.{MSN}.invoice.created"
    assert message.headers == {
        "Nats-Msg-Id": stored["id"],
        "Content-Type": "application/cloudevents+json; charset=utf-8",
    }


@ONLY_SQLITE
async def test_stream_is_made_to_refuse_and_not_to_drop(press: Press, broker: NatsServer) -> None:
    """A limit that is set later keeps events waiting with us; nothing unread goes."""
    press.invoice()

    async with press.publishing():
        await until(lambda: press.position() == 1, "published")

    made = await broker.ask(lambda js: js.stream_info("BETALBAR"))
    assert made.config.subjects == ["betalbar.>"]
    assert (made.config.discard, made.config.duplicate_window) == (DiscardPolicy.NEW, 600)


async def test_events_published_again_after_a_crash_are_stored_once(
    press: Press, broker: NatsServer
) -> None:
    """A crash between the acknowledgement and the position's commit doubles nothing."""
    press.invoice()
    press.invoice()
    async with press.publishing():
        await until(lambda: press.position() == 2, "published")

    press.forget_position()
    async with press.publishing():
        await until(lambda: press.position() == 2, "published again")

    assert [event["id"] for event in await broker.events()] == press.feed()


async def test_two_processes_publish_every_feed_in_its_order(
    database: Database, broker: NatsServer
) -> None:
    """However many processes run, a sales unit's events keep their order."""
    one = a_press(database, broker.url, MSN, OTHER_MSN)
    other = Press(one.context)

    async with one.publishing(), other.publishing():
        for _ in range(30):
            await asyncio.to_thread(one.invoice, MSN)
            await asyncio.to_thread(one.invoice, OTHER_MSN)
        await until(lambda: one.position(MSN) == one.position(OTHER_MSN) == 30, "published")

    events = await broker.events()
    for msn in (MSN, OTHER_MSN):
        ids = [event["id"] for event in events if event["source"].endswith(msn)]
        assert ids == one.feed(msn)


async def test_feed_is_held_by_one_until_its_lease_ends(press: Press) -> None:
    """Two never publish one sales unit's events, and a dead one is in nobody's way for long."""
    press.invoice()
    now = real_now()
    with press.context.database.transaction() as session:
        [first] = claim(session, now)
        assert claim(session, now) == []

    with press.context.database.transaction() as session:
        [second] = claim(session, now + LEASE)
        assert not positions.advance(session, first, now)
        assert not let_go_at_end(session, first)

    assert second.lease != first.lease
    assert press.position() == 0


def test_waits_grow_and_end_at_half_a_minute() -> None:
    """A broker that is down is asked ever more seldom, and found again soon."""
    assert [put_off_s(n, 0) for n in range(7)] == [1, 2, 4, 8, 16, 30, 30]
    assert put_off_s(10_000, 1) == 22.5
    assert timedelta(seconds=put_off_s(9, 0)) <= LEASE
