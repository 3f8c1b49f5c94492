"""Subscriptions over the API: made, listed, read, tested, ended."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Any

import pytest

from service.outbox.egress import open_egress
from service.store.tables import StoredAnswer
from tests.fake_merchant import FakeMerchant, serve
from tests.service.api.shop import ONLY_SQLITE, Shop

pytestmark = pytest.mark.anyio

WANTED = {"url": "https://erp.example/in", "eventTypes": ["invoice.*"], "description": "the ERP"}


async def _subscribe(shop: Shop, **changed: Any) -> dict[str, Any]:
    answer = await shop.client.post("/v1/subscriptions", json={**WANTED, **changed})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def test_create_shows_the_secret_once(shop: Shop) -> None:
    """I get the secret with the subscription, and never again."""
    answer = await shop.client.post("/v1/subscriptions", json=WANTED)

    made = answer.json()
    assert answer.status_code == 201
    assert made["secret"].startswith("whsec_")
    assert {name: made[name] for name in WANTED} == WANTED
    read = await shop.client.get(answer.headers["Location"])
    assert read.status_code == 200
    assert read.json() == {k: v for k, v in made.items() if k != "secret"}
    assert read.headers["ETag"] == answer.headers["ETag"]


async def test_create_with_a_key_gives_the_same_secret_again(shop: Shop) -> None:
    """A lost answer does not leave me with a subscription whose secret nobody knows."""
    key = {"Idempotency-Key": "sub-1"}

    first = await shop.client.post("/v1/subscriptions", json=WANTED, headers=key)
    again = await shop.client.post("/v1/subscriptions", json=WANTED, headers=key)

    assert first.content == again.content
    assert len((await shop.client.get("/v1/subscriptions")).json()["items"]) == 1
    assert first.json()["secret"].encode() not in shop.all(StoredAnswer)[0].body


@ONLY_SQLITE
@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"url": "ftp://erp.example/in"}, "url"),
        ({"url": "https://10.0.0.1/in"}, "url"),
        ({"url": "https://169.254.169.254/latest"}, "url"),
        ({"url": "https://[::ffff:10.0.0.1]/"}, "url"),
        ({"url": 5}, "url"),
        ({"url": ""}, "url"),
        ({"eventTypes": []}, "eventTypes"),
        ({"eventTypes": "invoice.*"}, "eventTypes"),
        ({"eventTypes": ["invoice.payed"]}, "eventTypes.0"),
        ({"eventTypes": [None]}, "eventTypes.0"),
        ({"secret": "whsec_mine"}, "secret"),
        ({"description": "a\x00b"}, "description"),
    ],
)
async def test_create_with_a_wrong_field_names_it(
    shop: Shop, changed: dict[str, Any], field: str
) -> None:
    """A subscription that could never work is refused at once."""
    answer = await shop.client.post("/v1/subscriptions", json={**WANTED, **changed})

    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]


async def test_list_walks_all_once_without_secrets(shop: Shop) -> None:
    """I see where my events go."""
    made = [(await _subscribe(shop, description=f"number {n}"))["id"] for n in range(3)]

    first = (await shop.client.get("/v1/subscriptions?limit=2")).json()
    rest = (await shop.client.get("/v1/subscriptions", params={"cursor": first["cursor"]})).json()

    items = first["items"] + rest["items"]
    assert sorted(item["id"] for item in items) == sorted(made)
    assert rest["cursor"] is None
    assert "secret" not in str(items)


async def test_delete_ends_it(shop: Shop) -> None:
    """What I have ended is gone, and ending it again finds nothing."""
    made = await _subscribe(shop)
    path = f"/v1/subscriptions/{made['id']}"

    first = await shop.client.delete(path, headers={"Idempotency-Key": "d"})
    repeated = await shop.client.delete(path, headers={"Idempotency-Key": "d"})
    again = await shop.client.delete(path)

    assert [first.status_code, repeated.status_code, again.status_code] == [204, 204, 404]
    assert (first.content, "Content-Type" in first.headers) == (b"", False)
    assert (await shop.client.get(path)).status_code == 404


async def test_delete_of_another_version_gets_412(shop: Shop) -> None:
    """I end only what I have seen."""
    made = await _subscribe(shop)
    path = f"/v1/subscriptions/{made['id']}"
    etag = (await shop.client.get(path)).headers["ETag"]

    stale = await shop.client.delete(path, headers={"If-Match": '"old"'})
    current = await shop.client.delete(path, headers={"If-Match": etag})

    assert [stale.status_code, current.status_code] == [412, 204]


async def test_test_says_what_the_receiver_said(shop: Shop) -> None:
    """One call tells me whether my endpoint works: a signed ping, its answer, its time."""
    async with _merchant(shop) as (merchant, url):
        made = await _subscribe(shop, url=url)
        merchant.secrets = [made["secret"]]
        shop.times.append(datetime.now(UTC))  # the official package looks at the real clock

        answer = await shop.client.post(f"/v1/subscriptions/{made['id']}/test")

        said = answer.json()
        assert answer.status_code == 200, answer.text
        assert (said["status"], said["delivered"], said["error"]) == (204, True, None)
        assert merchant.received[0].is_verified
        assert merchant.received[0].event["type"] == "test.ping"
        assert merchant.received[0].event["id"] == said["event"]
        read = await shop.client.get(f"/v1/subscriptions/{made['id']}")
        assert read.json()["status"] == "healthy"


async def test_test_of_a_dead_receiver_is_an_answer_too(shop: Shop) -> None:
    """That nobody listens there is what I wanted to know."""
    async with _merchant(shop):
        made = await _subscribe(shop, url="http://127.0.0.1:1/in")

        answer = await shop.client.post(f"/v1/subscriptions/{made['id']}/test")

    said = answer.json()
    assert answer.status_code == 200
    assert (said["status"], said["delivered"], said["error"]) == (None, False, "refused")


async def test_test_with_a_key_sends_one_ping(shop: Shop) -> None:
    """A repeated test is the same test."""
    async with _merchant(shop) as (merchant, url):
        made = await _subscribe(shop, url=url)
        path, key = f"/v1/subscriptions/{made['id']}/test", {"Idempotency-Key": "t"}

        answers = await asyncio.gather(*(shop.client.post(path, headers=key) for _ in range(5)))
        again = await shop.client.post(path, headers=key)

        assert len(merchant.received) == 1
        assert {answer.status_code for answer in answers} <= {200, 409}
        assert again.headers["Idempotent-Replayed"] == "true"


async def test_test_that_died_under_way_can_be_repeated(shop: Shop) -> None:
    """After a crash the key is not lost: the test is sent anew."""
    async with _merchant(shop) as (merchant, url):
        made = await _subscribe(shop, url=url)
        path, key = f"/v1/subscriptions/{made['id']}/test", {"Idempotency-Key": "t"}
        await shop.client.post(path, headers=key)
        row = shop.all(StoredAnswer)[0]
        row.status, row.body, row.busy_until = 0, b"", shop.times[-1]
        with shop.database.transaction() as session:
            session.merge(row)

        again = await shop.client.post(path, headers=key)

        assert again.status_code == 200
        assert len(merchant.received) == 2


async def test_test_of_nothing_leaves_its_key_free(shop: Shop) -> None:
    """A test that could not be sent has used up nothing."""
    async with _merchant(shop):
        answer = await shop.client.post(
            "/v1/subscriptions/sub_none/test", headers={"Idempotency-Key": "t"}
        )

    assert answer.status_code == 404
    assert shop.all(StoredAnswer) == []


@asynccontextmanager
async def _merchant(shop: Shop) -> AsyncIterator[tuple[FakeMerchant, str]]:
    merchant = FakeMerchant()
    async with (
        serve(merchant) as url,
        open_egress(allow=(ip_network("127.0.0.0/8"),)) as egress,
    ):
        shop.running.egress = egress
        yield merchant, f"{url}/in"
