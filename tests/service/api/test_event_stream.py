"""The feed as server-sent events, over real HTTP: nothing lost, nothing held, nothing for ever."""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import urlsplit

import httpx
import orjson
import pytest
import sqlalchemy as sa

from service.api import event_stream
from service.api.keys import revoke_key
from service.context import Context
from service.feed import watch
from service.ledger.book import write
from service.ledger.invoices import create_invoice
from service.ledger.types import Ask
from service.store.db import Database
from service.wake import Wake
from tests.builders import an_invoice
from tests.fake_merchant import DEADLINE_S
from tests.service.api.feeding import fill
from tests.service.api.listening import calling, listening, streaming
from tests.service.api.shop import MSN, NOW, ONLY_SQLITE, Shop

pytestmark = pytest.mark.anyio


@pytest.fixture
async def client(shop: Shop) -> AsyncIterator[httpx.AsyncClient]:
    """Give a client of the same API over a real socket."""
    async with listening(shop.app) as url, calling(url, shop.client) as opened:
        yield opened


async def test_stream_gives_what_was_and_then_what_comes(
    shop: Shop, client: httpx.AsyncClient
) -> None:
    """I open one stream and am told of everything, in the bytes that my webhook gets."""
    await shop.create()

    async with streaming(client) as blocks:
        texts = [await blocks.data()]
        shop.let_be_authorized()
        texts += [await blocks.data(), await blocks.data()]

    page = await client.get("/v1/events")
    assert page.content.startswith(f'{{"items":[{",".join(texts)}],'.encode())
    assert blocks.last_id == page.json()["cursor"]


async def test_stream_is_resumed_where_it_broke(shop: Shop, client: httpx.AsyncClient) -> None:
    """My connection breaks again and again, and I see every event once, in order."""
    await shop.create()
    shop.let_be_authorized()
    seen, last_id = [], ""

    for number in range(6):
        # The address says where the first one began; the header says where the last one was.
        async with streaming(client, last_event_id=last_id, cursor="_first") as blocks:
            seen.append(await blocks.event())
            last_id = blocks.last_id
        if number in (2, 4):
            shop.let_be_captured(1_000)
        if number == 3:
            shop.let_be_captured(2_000)

    page = (await client.get("/v1/events")).json()
    assert seen == page["items"]
    assert [event["sequence"] for event in seen] == [1, 2, 3, 4, 5, 6]


async def test_stream_from_the_last_place_can_be_resumed_before_its_first_event(
    shop: Shop, client: httpx.AsyncClient
) -> None:
    """I start at "now", lose the line at once, and still miss nothing of what came meanwhile."""
    await shop.create()

    async with streaming(client, cursor="_last") as blocks:
        async for line in blocks.lines:
            if line.startswith("id: "):
                place = line.removeprefix("id: ")
                break
    shop.let_be_authorized()
    async with streaming(client, cursor="_last", last_event_id=place) as blocks:
        types = [event["type"] for event in await blocks.events(2)]

    assert types == ["invoice.pushed", "invoice.authorized"]


@ONLY_SQLITE
async def test_stream_of_some_types_beats_and_moves_its_place(
    shop: Shop, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quiet stream shows that it lives, and is not resumed at what it passed over long ago."""
    monkeypatch.setattr(event_stream, "HEARTBEAT_S", 0.05)
    await shop.create()
    last = (await client.get("/v1/events", params={"cursor": "_last"})).json()["cursor"]

    async with streaming(client, types="invoice.captured") as blocks:
        async with asyncio.timeout(10):
            async for line in blocks.lines:
                blocks.heartbeats += line == ": heartbeat"
                if line.startswith("id: "):
                    blocks.places.append(line.removeprefix("id: "))
                if blocks.heartbeats == 3:
                    break
        shop.let_be_authorized()
        shop.let_be_captured(1_000)
        event = await blocks.event()

    assert event["type"] == "invoice.captured"
    assert blocks.places[1] == last
    assert len(blocks.places) < blocks.heartbeats + 3


@ONLY_SQLITE
@pytest.mark.parametrize(
    ("params", "headers", "field"),
    [
        ({"cursor": "_middle"}, {}, "cursor"),
        ({}, {"Last-Event-ID": "42"}, "Last-Event-ID"),
        ({}, {"Last-Event-ID": "ZXZlbnRzIDEyMzQ1NiA5"}, "Last-Event-ID"),  # events 123456 9
        ({"types": "invoice.payed"}, {}, "types"),
        ({"limit": "5"}, {}, "limit"),
    ],
)
async def test_stream_with_a_wrong_parameter_names_it(
    shop: Shop, client: httpx.AsyncClient, params: Any, headers: Any, field: str
) -> None:
    """What can't be streamed is said before the stream begins, as everywhere else."""
    answer = await client.get("/v1/events/stream", params=params, headers=headers)

    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert [error["field"] for error in answer.json()["errors"]] == [field]


@ONLY_SQLITE
async def test_stream_answers_head_without_streaming(shop: Shop, client: httpx.AsyncClient) -> None:
    """A monitor may look whether it is there."""
    answer = await client.head("/v1/events/stream")

    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")


async def test_stream_ends_when_its_key_is_revoked(shop: Shop, client: httpx.AsyncClient) -> None:
    """Whoever stole my key hears nothing more, also on a line that was open."""
    await shop.create()

    async with streaming(client) as blocks:
        await blocks.event()
        with shop.database.transaction() as session:
            revoke_key(session, shop.key_id, now=NOW)
        await blocks.ends()

    assert (await client.get("/v1/events/stream")).status_code == 401


@ONLY_SQLITE
async def test_streams_of_one_key_are_limited(shop: Shop, client: httpx.AsyncClient) -> None:
    """A client that forgets to close its streams is told, and everybody else is served."""
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(AsyncExitStack())
        await first.enter_async_context(streaming(client))
        for _ in range(watch.STREAMS_PER_KEY_MAX - 1):
            await stack.enter_async_context(streaming(client))
        refused = await client.get("/v1/events/stream")
        async with calling(str(client.base_url), shop.other) as other, streaming(other):
            pass
        await first.aclose()
        await _until_free(client)

    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_streams")


async def test_stream_hears_of_another_processs_commit(
    shop: Shop, client: httpx.AsyncClient, database_url: str
) -> None:
    """It does not matter which process took the webhook in."""
    elsewhere = Database(database_url)
    context = Context(
        shop.context.settings, elsewhere, shop.context.vault, shop.context.clock, Wake()
    )

    async with streaming(client) as blocks:
        await asyncio.to_thread(
            write,
            context,
            lambda book: create_invoice(book, MSN, an_invoice(), Ask(actor="test")),
        )
        event = await blocks.event()

    elsewhere.dispose()
    assert event["type"] == "invoice.created"


async def test_streams_that_wait_share_one_look(shop: Shop, client: httpx.AsyncClient) -> None:
    """Ten readers who wait cost the database what one costs."""
    statements: list[str] = []

    def note(_c: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        statements.append(statement)

    async with AsyncExitStack() as stack:
        opened = [await stack.enter_async_context(streaming(client)) for _ in range(10)]
        await shop.create()
        for blocks in opened:
            await blocks.event()
        for engine in {shop.database._reader, shop.database._writer}:
            sa.event.listen(engine, "before_cursor_execute", note)
        # Each may read once more, and finds nothing: a reader asks for no key, a look does.
        async with asyncio.timeout(DEADLINE_S):
            while not statements or _count(statements, "feed") != _count(statements, "api_key"):
                statements.clear()
                await asyncio.sleep(3 * watch.LOOK_S)

    looks = _count(statements, "api_key")
    assert 1 <= looks < len(opened)
    assert not [s for s in statements if "FROM event" in s]


def _count(statements: Sequence[str], table: str) -> int:
    return sum(f"FROM {table}" in statement for statement in statements)


async def test_slow_reader_holds_neither_a_transaction_nor_the_feed(
    shop: Shop, client: httpx.AsyncClient
) -> None:
    """A reader who stops reading costs a few events in memory, and gets all of them later."""
    count, size = 1_500, 15_000
    await asyncio.to_thread(fill, shop.context, count, size)
    read = []

    def note(_c: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        read.extend([1] * ("FROM event" in statement))

    for engine in {shop.database._reader, shop.database._writer}:
        sa.event.listen(engine, "before_cursor_execute", note)
    reader, writer = await _stuck(client)
    await _until_still(read)

    assert len(read) < count / event_stream.PAGE_LIMIT / 2
    assert all(e.pool.checkedout() == 0 for e in (shop.database._reader, shop.database._writer))  # type: ignore[attr-defined]
    seen = await _positions(reader, count)
    writer.close()
    assert seen == list(range(1, count + 1))


@ONLY_SQLITE
async def test_reader_who_takes_nothing_for_long_is_let_go(
    shop: Shop, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is stuck for good frees its place."""
    monkeypatch.setattr(event_stream, "SEND_WITHIN_S", 0.2)
    monkeypatch.setattr(watch, "STREAMS_PER_KEY_MAX", 1)
    await asyncio.to_thread(fill, shop.context, 1_000, 15_000)

    _, writer = await _stuck(client)
    taken = (await client.head("/v1/events/stream")).status_code
    await _until_free(client)

    writer.close()
    assert taken == 429


async def test_stream_outlives_a_database_that_restarts(
    shop: Shop, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I need not reconnect because the database did."""
    monkeypatch.setattr(event_stream, "_AGAIN_S", 0.05)
    is_away = False

    def refuse(_connection: object) -> None:
        if is_away:
            raise sa.exc.OperationalError("BEGIN", None, Exception("gone"))

    async with streaming(client) as blocks:
        await shop.create()
        first = await blocks.event()
        for engine in {shop.database._reader, shop.database._writer}:
            sa.event.listen(engine, "begin", refuse)
        is_away = True
        shop.context.wake.events.set()
        await asyncio.sleep(0.2)
        is_away = False
        await shop.create(reference="acme-2026-000124")
        second = await blocks.event()

    references = [event["data"]["invoice"]["reference"] for event in (first, second)]
    assert references == ["acme-2026-000123", "acme-2026-000124"]


async def test_stream_of_another_sales_unit_is_not_seen(
    shop: Shop, client: httpx.AsyncClient
) -> None:
    """Two merchants listen; each hears their own customers only."""
    async with (
        calling(str(client.base_url), shop.other) as other,
        streaming(client) as mine,
        streaming(other) as theirs,
    ):
        await shop.create()
        await other.post("/v1/invoices", json=_invoice("others-2026-1"))
        units = [
            (await blocks.event())["data"]["invoice"]["salesUnit"] for blocks in (mine, theirs)
        ]

    assert units == ["123456", "654321"]


async def _until_free(client: httpx.AsyncClient) -> None:
    """Return once the key may open a stream again."""
    async with asyncio.timeout(10):
        while (await client.head("/v1/events/stream")).status_code != 200:  # noqa: ASYNC110
            await asyncio.sleep(0.02)  # the other side's connection sets no event here


def _invoice(reference: str) -> dict[str, Any]:
    return {
        "reference": reference,
        "amount": {"currency": "NOK", "value": 100},
        "customer": {"phoneNumber": "4791234567"},
    }


async def _stuck(client: httpx.AsyncClient) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a stream by hand and read nothing of it; the kernel takes little for it."""
    address = urlsplit(str(client.base_url))
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    plain.setblocking(False)
    await asyncio.get_running_loop().sock_connect(plain, (address.hostname, address.port))
    reader, writer = await asyncio.open_connection(sock=plain, limit=64 * 1024)
    key = client.headers["Authorization"]
    writer.write(
        f"GET /v1/events/stream HTTP/1.1\r\nHost: x\r\nAuthorization: {key}\r\n\r\n".encode()
    )
    await writer.drain()
    await asyncio.wait_for(reader.readline(), 10)
    return reader, writer


async def _until_still(read: list[int]) -> None:
    """Return once nothing was read from the feed for a while."""
    before = -1
    while before != len(read):
        before = len(read)
        await asyncio.sleep(0.4)


async def _positions(reader: asyncio.StreamReader, count: int) -> list[int]:
    """Return the events' own numbers, as they come in."""
    seen: list[int] = []
    async with asyncio.timeout(60):
        while len(seen) < count:
            line = await reader.readline()
            if line.startswith(b"data: "):
                seen.append(orjson.loads(line[6:])["sequence"])
    return seen
