"""The feed as pages: every event once, in order, with the stored bytes."""

from typing import Any

import pytest

import service.feed.pages
from service.store.tables import Event
from tests.service.api.shop import INVOICE, ONLY_SQLITE, Shop

pytestmark = pytest.mark.anyio


async def _page(shop: Shop, **params: Any) -> dict[str, Any]:
    answer = await shop.client.get("/v1/events", params=params)
    assert answer.status_code == 200, answer.text
    page: dict[str, Any] = answer.json()
    return page


async def _a_story(shop: Shop) -> None:
    """Six events: two created, one each terminated, pushed, authorized, captured."""
    await shop.create()
    await shop.create(reference="acme-2026-000124")
    await shop.client.post("/v1/invoices/acme-2026-000124/cancel")
    shop.let_be_authorized()
    shop.let_be_captured(200_000)


async def test_feed_gives_every_event_once_in_order(shop: Shop) -> None:
    """I follow the cursor and miss nothing and see nothing twice."""
    await _a_story(shop)
    seen, cursor, tries = [], "_first", 0

    while True:
        page = await _page(shop, cursor=cursor, limit=2)
        seen += [item["type"] for item in page["items"]]
        cursor, tries = page["cursor"], tries + 1
        if page["tryLater"]:
            break

    assert seen == [
        "invoice.created",
        "invoice.created",
        "invoice.terminated",
        "invoice.pushed",
        "invoice.authorized",
        "invoice.captured",
    ]
    assert tries == 3
    assert await _page(shop, cursor=cursor) == {"items": [], "cursor": cursor, "tryLater": True}


async def test_feed_carries_the_stored_bytes_themselves(shop: Shop) -> None:
    """The event that I read is byte for byte the one that my webhook got."""
    await _a_story(shop)
    vault = shop.context.vault

    answer = await shop.client.get("/v1/events")

    for event in shop.all(Event):
        payload = vault.open(event.payload, place=f"event:{event.id}:payload")
        assert payload in answer.content


async def test_feed_from_the_last_place_gives_only_what_comes(shop: Shop) -> None:
    """Who starts today need not read the past."""
    await _a_story(shop)

    last = await _page(shop, cursor="_last")
    await shop.create(reference="acme-2026-000125")
    later = await _page(shop, cursor=last["cursor"])

    assert (last["items"], last["tryLater"]) == ([], True)
    assert [item["data"]["invoice"]["reference"] for item in later["items"]] == ["acme-2026-000125"]


async def test_feed_without_a_cursor_starts_at_the_first_event(shop: Shop) -> None:
    """The simplest call shows something."""
    assert await _page(shop) == await _page(shop, cursor="_first")

    await shop.create()

    assert len((await _page(shop))["items"]) == 1


@pytest.mark.parametrize(
    ("types", "count"),
    [
        ("invoice.captured", 1),
        ("invoice.created,invoice.captured", 3),
        (["invoice.created", "invoice.captured"], 3),
        ("invoice.*", 6),
        ("*", 6),
        ("customer.consented", 0),
        ("customer.consented,invoice.*", 6),
    ],
)
async def test_feed_of_some_types_leaves_the_others_out(shop: Shop, types: Any, count: int) -> None:
    """I read only what I handle, and the cursor passes the rest."""
    await _a_story(shop)

    page = await _page(shop, types=types)

    assert (len(page["items"]), page["tryLater"]) == (count, True)
    assert page["cursor"] == (await _page(shop, cursor="_last"))["cursor"]


async def test_feed_of_a_rare_type_walks_on_in_steps(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A filter that matches nothing never makes one request read the whole past."""
    await _a_story(shop)
    monkeypatch.setattr(service.feed.pages, "WALK_MAX", 2)

    first = await _page(shop, types="invoice.captured")
    second = await _page(shop, types="invoice.captured", cursor=first["cursor"])
    third = await _page(shop, types="invoice.captured", cursor=second["cursor"])

    assert [p["tryLater"] for p in (first, second, third)] == [False, False, True]
    assert [len(p["items"]) for p in (first, second, third)] == [0, 0, 1]


@ONLY_SQLITE
@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"cursor": "_middle"}, "cursor"),
        ({"cursor": ""}, None),
        ({"types": "invoice.payed"}, "types"),
        ({"types": "%"}, "types"),
        ({"limit": "201"}, "limit"),
        ({"from": "_first"}, "from"),
    ],
)
async def test_feed_with_a_wrong_parameter_names_it(
    shop: Shop, params: dict[str, str], field: str | None
) -> None:
    """A type that I misspelt would never come."""
    answer = await shop.client.get("/v1/events", params=params)

    assert answer.status_code == (422 if field else 200)
    if field:
        assert answer.json()["errors"][0]["field"] == field


async def test_feed_of_another_sales_unit_is_not_seen(shop: Shop) -> None:
    """Each merchant reads their own events, with their own cursors."""
    await _a_story(shop)
    await shop.other.post("/v1/invoices", json=INVOICE)

    mine = await shop.other.get("/v1/events")
    stolen = await shop.other.get(
        "/v1/events", params={"cursor": (await _page(shop, limit=1))["cursor"]}
    )

    assert [item["data"]["invoice"]["salesUnit"] for item in mine.json()["items"]] == ["654321"]
    assert stolen.status_code == 422
