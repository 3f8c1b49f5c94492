"""The digest: what a subscriber computes from the events alone, and how far it goes."""

import asyncio
import random
import re
import shutil
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from service.feed import digest as digests
from service.ledger.book import Book
from service.ledger.resource import rfc3339
from service.store.db import Database
from service.store.tables import InvoiceRecord
from tests.service.api.listening import listening
from tests.service.api.shop import NOW, ONLY_SQLITE, Shop

pytestmark = pytest.mark.anyio

FEED = Path(__file__).parents[3] / "docs" / "feed.md"
NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
SINCE = "2026-11-22T10:00:00Z"


def _documented() -> dict[str, Any]:
    """Return what the document's own lines define: `feed`, `line` and `missing`."""
    text = FEED.read_text()
    pages = re.findall(r"```python\n(def feed.*?)```", text, flags=re.DOTALL)
    between = text.split("<!-- missing: begin -->")[1].split("<!-- missing: end -->")[0]
    code = between.strip().removeprefix("```python").removesuffix("```")
    names: dict[str, Any] = {}
    exec(compile(pages[0] + code, str(FEED), "exec"), names)  # noqa: S102 - our own document
    return names


async def _a_story(shop: Shop) -> None:
    """Some hours with two invoices, transitions and notices."""
    await shop.create()
    shop.later(minutes=30)
    await shop.create(reference="acme-2026-000124")
    shop.let_be_authorized()
    shop.later(hours=2)
    await shop.client.post("/v1/invoices/acme-2026-000124/cancel")
    for amount in (1_000, 2_000, 3_000):
        shop.later(minutes=7, milliseconds=501)
        shop.let_be_captured(amount)
    shop.on_invoice(_tell)
    shop.later(seconds=90)


def _tell(book: Book, invoice: InvoiceRecord) -> None:
    book.tell(invoice, "invoice.needs_attention", "a_test")


async def _digest(shop: Shop, **params: Any) -> dict[str, Any]:
    answer = await shop.client.get("/v1/events/digest", params={"from": SINCE, **params})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_documented_lines_find_exactly_what_is_missing(shop: Shop) -> None:
    """I copy ten lines, give them what my webhook has stored, and know what never came."""
    await _a_story(shop)
    named, dice = _documented(), random.Random(1)
    key = shop.client.headers["Authorization"]

    def check(url: str) -> None:
        with httpx.Client(base_url=url, headers={"Authorization": key}, trust_env=False) as api:
            told = list(named["feed"](api))
            counting = [e for e in told if "transition" in e["data"]]
            assert (len(told), len(counting)) == (8, 7)
            for lost in ([], *([e] for e in counting), counting[2:5], counting):
                mine = [e for e in told if e not in lost] * 2
                dice.shuffle(mine)
                assert named["missing"](api, mine, SINCE) == lost

    async with listening(shop.app) as url:
        await asyncio.to_thread(check, url)


async def test_documented_lines_are_ten() -> None:
    """It is as little work as it says."""
    between = FEED.read_text().split("<!-- missing: begin -->")[1].split("<!-- missing: end")[0]
    lines = [line for line in between.splitlines() if line.strip()]

    assert len([line for line in lines if not line.startswith("```")]) == 10


async def test_digest_buckets_follow_each_other_and_hold_every_transition(shop: Shop) -> None:
    """However I cut the time, each step is in one bucket, and nothing lies between two."""
    await _a_story(shop)
    end = rfc3339(shop.times[-1])

    for count in (1, 7, 24, 1_000):
        digest = await _digest(shop, to=end, buckets=count)
        buckets = digest["buckets"]

        assert len(buckets) == count
        assert (buckets[0]["from"], buckets[-1]["to"]) == (digest["from"], digest["to"])
        assert [b["to"] for b in buckets[:-1]] == [b["from"] for b in buckets[1:]]
        assert sum(b["count"] for b in buckets) == 7
        assert {b["hash"] for b in buckets if not b["count"]} <= {NOTHING}
    assert digest["settledUntil"] == rfc3339(shop.times[-1] - timedelta(seconds=60))


async def test_digest_is_that_of_sort_and_sha256sum(shop: Shop) -> None:
    """It needs no library of ours: any shell can compute it."""
    tools = [shutil.which("sort"), shutil.which("sha256sum")]
    if None in tools:
        pytest.skip("NOT RUN: no sort or sha256sum here")
    await _a_story(shop)
    items = (await shop.client.get("/v1/events")).json()["items"]
    lines = [
        f"{e['data']['invoice']['reference']} {e['sequence']} {e['type'].split('.')[1]}\n"
        for e in items
        if "transition" in e["data"]
    ]

    shell = "LC_ALL=C sort | sha256sum"
    said = await asyncio.to_thread(
        subprocess.check_output, ["sh", "-c", shell], input="".join(lines), text=True
    )

    assert (await _digest(shop, buckets=1))["buckets"][0]["hash"] == said.split()[0]


async def test_digest_puts_an_event_of_the_last_instant_into_the_next_bucket(shop: Shop) -> None:
    """Where two buckets meet, each event is in one, as its own timestamp says."""
    shop.later(microseconds=999_999)  # told as .999
    await shop.create()
    shop.later(microseconds=1)  # told as .000 of the next second
    await shop.create(reference="acme-2026-000124")

    digest = await _digest(shop, to="2026-11-22T10:00:02Z", buckets=2)

    assert [b["count"] for b in digest["buckets"]] == [1, 1]


async def test_digest_of_another_sales_unit_is_its_own(shop: Shop) -> None:
    """What others sell does not show in my proof."""
    await _a_story(shop)

    answer = await shop.other.get("/v1/events/digest", params={"from": SINCE, "buckets": 1})

    assert [(b["count"], b["hash"]) for b in answer.json()["buckets"]] == [(0, NOTHING)]


@ONLY_SQLITE
@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({}, "from"),
        ({"from": "yesterday"}, "from"),
        ({"from": "2026-11-22"}, "from"),
        ({"from": "2026-11-22T10:00:00.0001Z"}, "from"),
        ({"from": SINCE, "to": SINCE}, "to"),
        ({"from": SINCE, "to": "2026-11-21T10:00:00Z"}, "to"),
        ({"from": "2026-11-23T10:00:00Z"}, "to"),  # ahead of now, which is the end
        ({"from": SINCE, "to": "2027-11-24T10:00:00Z"}, "to"),
        ({"from": "0001-01-01T00:00:00Z"}, "to"),
        ({"from": SINCE, "to": "9999-12-31T23:59:59Z"}, "to"),
        ({"from": SINCE, "buckets": "0"}, "buckets"),
        ({"from": SINCE, "buckets": "1001"}, "buckets"),
        ({"from": SINCE, "buckets": "many"}, "buckets"),
        ({"from": SINCE, "to": "2026-11-22T10:00:00.003Z", "buckets": "4"}, "buckets"),
        ({"from": SINCE, "until": SINCE}, "until"),
        ({"from": [SINCE, SINCE]}, "from"),
    ],
)
async def test_digest_with_a_wrong_parameter_names_it(
    shop: Shop, params: dict[str, Any], field: str
) -> None:
    """A time that can't be is said, and not answered with a hash of nothing."""
    shop.later(hours=1)

    answer = await shop.client.get("/v1/events/digest", params=params)

    assert answer.status_code == 422, answer.text
    assert [error["field"] for error in answer.json()["errors"]] == [field]


@ONLY_SQLITE
async def test_digest_of_too_many_events_asks_for_less(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A year of a busy shop is asked for month by month."""
    await _a_story(shop)
    monkeypatch.setattr(digests, "EVENTS_MAX", 6)

    refused = await shop.client.get("/v1/events/digest", params={"from": SINCE})
    granted = await _digest(shop, to="2026-11-22T12:30:00Z")

    assert [error["field"] for error in refused.json()["errors"]] == ["to"]
    assert sum(b["count"] for b in granted["buckets"]) == 4


async def test_digest_reads_by_its_index(shop: Shop, database: Database) -> None:
    """One hour costs the same beside years of events."""
    await _a_story(shop)
    told = digests._told("123456", NOW, NOW + timedelta(hours=1))
    explain = "EXPLAIN QUERY PLAN " if database.is_sqlite else "EXPLAIN "
    statements: list[tuple[str, Any]] = []

    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
        statements.append((statement, parameters))

    with database.snapshot() as session:
        connection = session.connection()
        if not database.is_sqlite:  # nine rows are read fastest as a whole
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        sa.event.listen(connection, "before_cursor_execute", note)
        session.execute(told).all()
        plan = connection.exec_driver_sql(explain + statements[0][0], statements[0][1]).all()

    assert "ix_event_digest" in "\n".join(str(row) for row in plan)
