"""Lists, one invoice, its history; cursors and filters."""

from typing import Any

import httpx
import pytest

from tests.service.api.shop import INVOICE, ONLY_SQLITE, Shop

pytestmark = pytest.mark.anyio


async def _some(shop: Shop, count: int, **changed: Any) -> list[str]:
    references = [f"acme-2026-{number:06}" for number in range(count)]
    for reference in references:
        shop.later(seconds=1)
        assert (await shop.create(reference=reference, **changed)).status_code == 201
    return references


async def _pages(client: httpx.AsyncClient, path: str, **params: Any) -> list[dict[str, Any]]:
    pages, cursor = [], None
    while True:
        page = (
            await client.get(path, params={**params, **({"cursor": cursor} if cursor else {})})
        ).json()
        pages.append(page)
        cursor = page["cursor"]
        if cursor is None:
            return pages


async def test_list_walks_all_invoices_once_newest_first(shop: Shop) -> None:
    """I page through everything and see each invoice exactly once."""
    references = await _some(shop, 5)

    pages = await _pages(shop.client, "/v1/invoices", limit=2)

    assert [len(page["items"]) for page in pages] == [2, 2, 1]
    walked = [item["reference"] for page in pages for item in page["items"]]
    assert sorted(walked) == references
    one = (await shop.client.get(f"/v1/invoices/{walked[0]}")).json()
    assert pages[0]["items"][0] == one


async def test_list_of_exactly_one_page_has_no_cursor(shop: Shop) -> None:
    """The last page says that it is the last."""
    await _some(shop, 2)

    assert len(await _pages(shop.client, "/v1/invoices", limit=2)) == 1


async def test_list_filters(shop: Shop) -> None:
    """I find invoices by state, customer, day and text."""
    await _some(shop, 2)
    made = await shop.create(
        reference="other-2026-01",
        customer={"phoneNumber": "4798765432"},
        description="100% Æble_pie",
        push=False,
    )
    await shop.client.post("/v1/invoices/acme-2026-000000/cancel")
    customer = made.json()["customer"]["id"]
    created_at = made.json()["createdAt"]

    async def found(**params: Any) -> set[str]:
        answer = await shop.client.get("/v1/invoices", params=params)
        assert answer.status_code == 200, answer.text
        return {item["reference"] for item in answer.json()["items"]}

    assert await found(state="terminated") == {"acme-2026-000000"}
    assert len(await found(state="terminated,created")) == 3
    assert len(await found(state=["terminated", "created"])) == 3
    assert await found(customer=customer) == {"other-2026-01"}
    assert await found(customer="cus_nobody") == set()
    assert await found(createdFrom=created_at, createdTo="2026-11-23T00:00:00Z") >= {
        "other-2026-01"
    }
    assert "acme-2026-000000" not in await found(createdFrom=created_at)
    assert await found(createdTo="2026-11-22T10:00:01Z") == set()
    assert await found(q="OTHER-2026") == {"other-2026-01"}
    assert await found(q="invoice 12") == {"acme-2026-000000", "acme-2026-000001"}
    assert await found(q="100% Æble_") == {"other-2026-01"}


@pytest.mark.parametrize("q", ["%", "_", "\\", "0%", "a_m", "' OR '1'='1", "%' --", "/", "[a-z]"])
async def test_list_takes_search_text_literally(shop: Shop, q: str) -> None:
    """What I search for is text, not a pattern and not a command."""
    await _some(shop, 1)

    answer = await shop.client.get("/v1/invoices", params={"q": q})

    assert answer.json()["items"] == []


@ONLY_SQLITE
@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "201"}, "limit"),
        ({"limit": "ten"}, "limit"),
        ({"limit": ["1", "2"]}, "limit"),
        ({"cursor": "x"}, "cursor"),
        ({"cursor": "é"}, "cursor"),
        ({"cursor": "a" * 300}, "cursor"),
        ({"state": "paid"}, "state"),
        ({"state": ""}, "state"),
        ({"state": "created,"}, "state"),
        ({"state": ",".join(["created"] * 60)}, "state"),
        ({"state": ["created"] * 51}, "state"),
        ({"createdFrom": "yesterday"}, "createdFrom"),
        ({"createdTo": "2026-11-22"}, "createdTo"),
        ({"q": "a\x00b"}, "q"),
        ({"q": "x" * 257}, "q"),
        ({"customer": "a\x00"}, "customer"),
        ({"phoneNumber": "4791234567"}, "phoneNumber"),
        ({"sort": "amount_minor; DROP TABLE invoice"}, "sort"),
    ],
)
async def test_list_with_a_wrong_parameter_names_it(
    shop: Shop, params: dict[str, Any], field: str
) -> None:
    """A filter that is misspelt must not show me everything."""
    answer = await shop.client.get("/v1/invoices", params=params)

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == field


async def test_cursor_of_another_list_or_sales_unit_is_refused(shop: Shop) -> None:
    """A cursor means something in its own list only."""
    await _some(shop, 2)
    cursor = (await shop.client.get("/v1/invoices?limit=1")).json()["cursor"]
    feed_cursor = (await shop.client.get("/v1/events")).json()["cursor"]

    answers = [
        await shop.other.get("/v1/invoices", params={"cursor": cursor}),
        await shop.client.get("/v1/events", params={"cursor": cursor}),
        await shop.client.get("/v1/subscriptions", params={"cursor": cursor}),
        await shop.client.get("/v1/invoices", params={"cursor": feed_cursor}),
    ]

    assert [answer.status_code for answer in answers] == [422] * 4
    assert {answer.json()["errors"][0]["field"] for answer in answers} == {"cursor"}


@pytest.mark.parametrize(
    "reference", ["nothere-1", "short", "a" * 61, "%00abcdefgh", "..%2Fevents", "12345678", "'--"]
)
async def test_one_that_is_not_there_gets_404(shop: Shop, reference: str) -> None:
    """What has no name of mine is not found, whatever the name looks like."""
    for path in ("", "/transitions"):
        answer = await shop.client.get(f"/v1/invoices/{reference}{path}")

        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_transitions_tell_the_whole_history_in_pages(shop: Shop) -> None:
    """Each step has its number, its reason and its hash, oldest first."""
    await shop.create()
    shop.let_be_authorized()
    shop.let_be_captured(50_000)
    shop.let_be_captured(150_000)

    pages = await _pages(shop.client, f"/v1/invoices/{INVOICE['reference']}/transitions", limit=3)

    items = [item for page in pages for item in page["items"]]
    assert [len(page["items"]) for page in pages] == [3, 2]
    assert [item["sequence"] for item in items] == [1, 2, 3, 4, 5]
    assert [(i["from"], i["to"], i["trigger"], i["source"]) for i in items] == [
        (None, "created", "create", "api"),
        ("created", "pushed", "push", "webhook"),
        ("pushed", "authorized", "authorize", "webhook"),
        ("authorized", "captured", "capture", "webhook"),
        ("captured", "captured", "capture", "webhook"),
    ]
    assert items[0]["actor"] == f"key:{shop.key_id}"
    assert all(len(item["hash"]) == 64 for item in items)


async def test_head_answers_like_get_without_the_body(shop: Shop) -> None:
    """I can ask for a version alone."""
    made = await shop.create()

    answer = await shop.client.head(made.headers["Location"])

    assert (answer.status_code, answer.headers["ETag"]) == (200, made.headers["ETag"])
