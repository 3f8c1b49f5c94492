"""`Idempotency-Key`: one effect and one answer, however often a request is repeated."""

import asyncio
from datetime import timedelta
from typing import Any

import httpx
import pytest

from service.store.tables import Command, Invoice, StoredAnswer
from tests.service.api.shop import INVOICE, MSN, ONLY_SQLITE, Shop

pytestmark = pytest.mark.anyio

NAMELESS = {k: v for k, v in INVOICE.items() if k != "reference"}
KEY = {"Idempotency-Key": "order-4711"}


async def _post(shop: Shop, body: Any = NAMELESS, **changed: Any) -> httpx.Response:
    return await shop.client.post("/v1/invoices", json=body, **{"headers": KEY, **changed})


async def test_same_key_and_body_gives_the_stored_answer(shop: Shop) -> None:
    """When an answer got lost I ask again, and get the very same one."""
    first = await _post(shop)
    shop.later(days=1)

    again = await _post(shop, dict(reversed(NAMELESS.items())))

    assert (again.status_code, again.content) == (201, first.content)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    for name in ("ETag", "Location", "Content-Type"):
        assert again.headers[name] == first.headers[name]
    assert len(shop.all(Invoice)) == 1


async def test_same_key_with_another_body_gets_422(shop: Shop) -> None:
    """A key that I reuse by mistake does not give me another invoice's answer."""
    await _post(shop)

    answer = await _post(shop, {**NAMELESS, "description": "Another"})

    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")
    assert len(shop.all(Invoice)) == 1


async def test_same_key_at_once_makes_one_invoice(shop: Shop) -> None:
    """Twenty copies of one request at the same instant are one request."""
    answers = await asyncio.gather(*(_post(shop) for _ in range(20)))

    assert [answer.status_code for answer in answers] == [201] * 20
    assert len({answer.content for answer in answers}) == 1
    assert sum("Idempotent-Replayed" not in answer.headers for answer in answers) == 1
    assert len(shop.all(Invoice)) == 1


async def test_no_key_at_once_makes_one_invoice_of_one_reference(shop: Shop) -> None:
    """Without a key, the reference still tells that it is the same invoice."""
    answers = await asyncio.gather(*(shop.create() for _ in range(20)))

    assert sorted(answer.status_code for answer in answers) == [200] * 19 + [201]
    assert len(shop.all(Invoice)) == 1
    assert len(shop.all(Command, Command.kind == "create_payment")) == 1


async def test_same_key_captures_once(shop: Shop) -> None:
    """A capture that I repeat because of a time-out takes the money once."""
    await shop.create()
    shop.let_be_authorized()
    half = {"amount": {"currency": "NOK", "value": 50_000}}
    path = f"/v1/invoices/{INVOICE['reference']}/capture"

    answers = await asyncio.gather(
        *(shop.client.post(path, json=half, headers=KEY) for _ in range(10))
    )

    assert [answer.status_code for answer in answers] == [202] * 10
    assert len(shop.all(Command, Command.kind == "capture")) == 1


async def test_same_key_on_another_route_or_sales_unit_is_another(shop: Shop) -> None:
    """My keys need to be unique only for what I do to one thing."""
    first, second = await shop.create(), await shop.create(reference="acme-2026-000124")

    answers = [
        await shop.client.post(f"{made.headers['Location']}/cancel", headers=KEY)
        for made in (first, second)
    ]
    foreign = await shop.other.post("/v1/invoices", json=NAMELESS, headers=KEY)
    own = await _post(shop)

    assert [answer.status_code for answer in answers] == [200, 200]
    assert foreign.status_code == own.status_code == 201
    assert foreign.json()["salesUnit"] != own.json()["salesUnit"]


async def test_key_of_a_refused_request_is_free_again(shop: Shop) -> None:
    """After I have mended my request I may send it under the same key."""
    await shop.create()
    path = f"/v1/invoices/{INVOICE['reference']}/capture"

    refused = await shop.client.post(path, headers=KEY)
    shop.let_be_authorized()
    accepted = await shop.client.post(path, headers=KEY)
    wrong = await _post(shop, {**NAMELESS, "amount": {"currency": "EUR", "value": 1}})
    right = await _post(shop)

    assert [refused.status_code, accepted.status_code] == [409, 202]
    assert [wrong.status_code, right.status_code] == [422, 201]


async def test_first_request_still_waiting_gets_409(shop: Shop) -> None:
    """While my first request waits for Vipps, a copy of it is told so and does nothing."""
    first = asyncio.create_task(shop.client.post("/v1/invoices?wait=2", json=INVOICE, headers=KEY))
    await shop.until_any(Invoice)

    copy = await _post(shop, INVOICE)
    done = await first
    again = await _post(shop, INVOICE)

    assert (copy.status_code, copy.json()["code"]) == (409, "request_in_progress")
    assert done.status_code == 201
    assert (again.status_code, again.content) == (201, done.content)


async def test_first_request_that_died_waiting_leaves_its_first_answer(shop: Shop) -> None:
    """After a crash I get the answer that was true when my request was stored."""
    await _post(shop)
    row = shop.all(StoredAnswer)[0]
    row.busy_until = shop.times[-1] + timedelta(seconds=35)
    with shop.database.transaction() as session:
        session.merge(row)

    early = await _post(shop)
    shop.later(seconds=36)
    late = await _post(shop)

    assert [early.status_code, late.status_code] == [409, 201]


async def test_if_match_is_not_asked_again_for_a_stored_answer(shop: Shop) -> None:
    """The repeated request names the version that the first one changed."""
    await shop.create()
    shop.let_be_authorized()
    path = f"/v1/invoices/{INVOICE['reference']}"
    headers = {**KEY, "If-Match": (await shop.client.get(path)).headers["ETag"]}

    first = await shop.client.post(f"{path}/capture", headers=headers)
    again = await shop.client.post(f"{path}/capture", headers=headers)

    assert [first.status_code, again.status_code] == [202, 202]
    assert first.content == again.content


@ONLY_SQLITE
@pytest.mark.parametrize("key", ["", " ", "a b", "x" * 256, "ø", "a\tb"])
async def test_key_in_another_form_is_refused(shop: Shop, key: str) -> None:
    """A key that could be read in two ways is no key."""
    answer = await _post(shop, headers={"Idempotency-Key": key.encode()})

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "Idempotency-Key"
    assert shop.all(Invoice) == []


@ONLY_SQLITE
async def test_two_keys_are_refused(shop: Shop) -> None:
    """Of two keys it would be a guess which one counts."""
    headers = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]

    answer = await _post(shop, headers=headers)

    assert answer.status_code == 422


async def test_longest_key_is_accepted_and_its_answer_is_sealed(shop: Shop) -> None:
    """What is kept to answer again is unreadable in the database."""
    answer = await _post(shop, headers={"Idempotency-Key": "~" * 255})

    row = shop.all(StoredAnswer)[0]
    assert (row.msn, row.route, row.key) == (MSN, "POST /v1/invoices", "~" * 255)
    assert answer.json()["reference"].encode() not in row.body
