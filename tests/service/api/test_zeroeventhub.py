"""The feed in the format of Vipps's own event feeds, read by Vipps's own client as well."""

import asyncio
import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.service.api.feeding import fill
from tests.service.api.listening import listening
from tests.service.api.shop import ONLY_SQLITE, Shop

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[3]
FEED = ROOT / "docs" / "feed.md"
SCRIPT = Path(__file__).with_name("zeroeventhub_client.py")

# It pins libraries older than ours: it lives in an environment of its own, which is kept.
REQUIREMENTS = ("zeroeventhub==0.2.3",)
INSTALL_S = 240

VERSION_1 = {"n": "1", "cursor0": "_first"}
VERSION_2 = {"token": "1", "partition": "0", "cursor": "_first"}


async def _lines(shop: Shop, params: dict[str, str]) -> list[dict[str, Any]]:
    answer = await shop.client.get("/v1/feed/events", params=params)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert answer.content.endswith(b"\n")
    return [orjson.loads(line) for line in answer.content.splitlines()]


@pytest.mark.parametrize("params", [VERSION_1, VERSION_2], ids=["zeroeventhub", "feedapi"])
async def test_feed_gives_events_and_then_where_to_go_on(
    shop: Shop, params: dict[str, str]
) -> None:
    """I follow the cursor through small pages, in either version, and have what the pages have."""
    await shop.create()
    shop.let_be_authorized()
    page = (await shop.client.get("/v1/events")).json()
    name = "cursor0" if "n" in params else "cursor"
    seen, calls = [], 0

    while calls < 5:
        *events, checkpoint = await _lines(shop, {**params, "pagesizehint": "1"})
        assert set(checkpoint) == {"partition", "cursor"}
        seen += [event["data"] for event in events]
        params, calls = {**params, name: checkpoint["cursor"]}, calls + 1

    assert seen == page["items"]
    assert params[name] == page["cursor"]


async def test_feed_is_discovered(shop: Shop) -> None:
    """A FeedAPI client learns what to ask for, and asks with it."""
    found = (await shop.client.get("/v1/feed")).json()

    assert found == {"token": "1", "partitions": [{"id": "0"}], "exactlyOnce": True}
    params = {"token": found["token"], "partition": found["partitions"][0]["id"]}
    assert len(await _lines(shop, {**params, "cursor": "_last"})) == 1


async def test_feed_carries_the_stored_bytes(shop: Shop) -> None:
    """The event in a line is byte for byte the one that my webhook got."""
    await shop.create()

    page = (await shop.client.get("/v1/events")).content
    line = (await shop.client.get("/v1/feed/events", params=VERSION_1)).content.splitlines()[0]

    payload = line.removeprefix(b'{"partition":0,"data":').removesuffix(b"}")
    assert page.startswith(b'{"items":[' + payload + b"],")


@ONLY_SQLITE
async def test_feed_of_some_types_and_of_all_but_some(shop: Shop) -> None:
    """I filter as the format says: separated by semicolons, in any case."""
    await shop.create()
    shop.let_be_authorized()

    only = await _lines(shop, {**VERSION_2, "event-types": "Invoice.Created;invoice.pushed"})
    but = await _lines(shop, {**VERSION_2, "skip-event-types": "INVOICE.CREATED"})

    assert [x["data"]["type"] for x in only[:-1]] == ["invoice.created", "invoice.pushed"]
    assert [x["data"]["type"] for x in but[:-1]] == ["invoice.pushed", "invoice.authorized"]
    assert only[-1] == but[-1]


@ONLY_SQLITE
@pytest.mark.parametrize(("hint", "count"), [("0", 1), ("7", 7), ("100000", 200), (None, 50)])
async def test_feed_takes_the_page_size_as_a_hint(shop: Shop, hint: str | None, count: int) -> None:
    """A client that asks for a hundred thousand gets a page, and not a refusal."""
    fill(shop.context, 250, 10)

    lines = await _lines(shop, {**VERSION_1, **({"pagesizehint": hint} if hint else {})})

    assert len(lines) == count + 1


@ONLY_SQLITE
@pytest.mark.parametrize(
    ("params", "fields"),
    [
        ({}, ["n"]),
        ({"n": "2", "cursor0": "_first"}, ["n"]),
        ({"n": "1"}, ["cursor0"]),
        ({"n": "1", "cursor0": ""}, ["cursor0"]),
        ({"n": "1", "cursor0": "17"}, ["cursor0"]),
        ({"n": "1", "cursor1": "_first"}, ["cursor1"]),
        ({**VERSION_1, "pagesizehint": "-1"}, ["pagesizehint"]),
        ({**VERSION_1, "pagesizehint": "9" * 10}, ["pagesizehint"]),
        ({**VERSION_1, "event-types": "invoice.*"}, ["event-types"]),
        ({**VERSION_2, "partition": "1"}, ["partition"]),
        ({**VERSION_2, "cursor": "_middle"}, ["cursor"]),
        ({"token": "1", "partition": "0"}, ["cursor"]),
        ({**VERSION_2, "n": "1"}, ["n"]),
        ({**VERSION_2, "event-types": "invoice.payed"}, ["event-types"]),
        ({**VERSION_2, "skip-event-types": "invoice.payed"}, ["skip-event-types"]),
        (
            {**VERSION_2, "event-types": "*", "skip-event-types": "invoice.created"},
            ["skip-event-types"],
        ),
    ],
)
async def test_feed_with_a_wrong_parameter_names_it(
    shop: Shop, params: dict[str, str], fields: list[str]
) -> None:
    """My client's mistake is named in the format's own words."""
    answer = await shop.client.get("/v1/feed/events", params=params)

    assert answer.status_code == 422, answer.text
    assert [error["field"] for error in answer.json()["errors"]] == fields


@ONLY_SQLITE
async def test_feed_with_an_old_token_sends_back_to_discovery(shop: Shop) -> None:
    """As the format says: 409, and the client reads `/v1/feed` again."""
    answer = await shop.client.get("/v1/feed/events", params={**VERSION_2, "token": "0"})

    assert (answer.status_code, answer.json()["code"]) == (409, "feed_token_outdated")


async def test_cursor_of_another_sales_unit_tells_nothing(shop: Shop) -> None:
    """Somebody else's cursor is answered like one that never was, at every address."""
    await shop.create()
    mine = (await shop.client.get("/v1/events")).json()["cursor"]
    never = mine[:-2] + "AA"
    answers = []

    for cursor in (mine, never):
        for path, params, headers in (
            ("/v1/events", {"cursor": cursor}, {}),
            ("/v1/events/stream", {"cursor": cursor}, {}),
            ("/v1/events/stream", {}, {"Last-Event-ID": cursor}),
            ("/v1/feed/events", {**VERSION_1, "cursor0": cursor}, {}),
            ("/v1/feed/events", {**VERSION_2, "cursor": cursor}, {}),
        ):
            answer = await shop.other.get(path, params=params, headers=headers)
            body = {k: v for k, v in answer.json().items() if k != "traceId"}
            answers.append((path, answer.status_code, body))

    assert answers[:5] == answers[5:]
    assert {status for _, status, _ in answers} == {422}


async def test_cursor_beyond_the_end_is_refused(shop: Shop) -> None:
    """After a restore to the past I am told to start anew, and pass nothing over."""
    await shop.create()
    shop.let_be_authorized()
    ahead = (await shop.client.get("/v1/events")).json()["cursor"]
    await shop.other.post("/v1/invoices", json={})
    fill_back = "UPDATE feed SET position = 2 WHERE msn = '123456'"
    with shop.database.migration() as connection:
        connection.exec_driver_sql(fill_back)

    answer = await shop.client.get("/v1/events", params={"cursor": ahead})

    assert answer.status_code == 422
    assert "beyond the end" in answer.json()["errors"][0]["reason"]


def _environment() -> Path:
    """Return the Python of an environment with the client; skip loudly where none can be made."""
    name = hashlib.sha256(" ".join((*REQUIREMENTS, sys.version)).encode()).hexdigest()[:12]
    folder = ROOT / "build" / f"zeroeventhub-{name}"
    python, stamp = folder / "bin" / "python", folder / "complete"
    if stamp.exists():
        return python
    for command in (
        [sys.executable, "-m", "venv", "--clear", str(folder)],
        [str(python), "-m", "pip", "install", "--quiet", *REQUIREMENTS],
    ):
        try:
            ran = subprocess.run(
                command, capture_output=True, text=True, timeout=INSTALL_S, check=False
            )
        except subprocess.TimeoutExpired:
            pytest.skip(f"NOT RUN: {REQUIREMENTS[0]} did not come within {INSTALL_S} s")
        if ran.returncode != 0:
            pytest.skip(f"NOT RUN: {REQUIREMENTS[0]} can't be had: {ran.stderr[-300:]}")
    stamp.touch()
    return python


@ONLY_SQLITE
async def test_vippss_own_client_reads_the_feed(shop: Shop) -> None:
    """PyPI's `zeroeventhub` follows it from the first event to the last, page by page."""
    python = await asyncio.to_thread(_environment)
    for number in range(3):
        await shop.create(reference=f"acme-2026-00012{number}", description="Blåbær")
    shop.let_be_authorized("acme-2026-000120")
    key = shop.client.headers["Authorization"].removeprefix("Bearer ")

    def run(url: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [str(python), str(SCRIPT), url, key], capture_output=True, text=True, check=False
        )

    async with listening(shop.app) as url:
        ran = await asyncio.to_thread(run, url)

    assert ran.returncode == 0, ran.stderr
    page = (await shop.client.get("/v1/events")).json()
    assert json.loads(ran.stdout) == {"events": page["items"], "cursor": page["cursor"]}


@ONLY_SQLITE
async def test_documented_lines_for_vippss_own_client_work(shop: Shop) -> None:
    """What I copy from the documentation runs."""
    python = await asyncio.to_thread(_environment)
    await shop.create()
    code = re.findall(r"```python\n(import asyncio.*?)```", FEED.read_text(), flags=re.DOTALL)[0]
    key = shop.client.headers["Authorization"].removeprefix("Bearer ")

    def run(url: str) -> "subprocess.CompletedProcess[str]":
        script = f"{code}\nasyncio.run(follow({url!r}, {key!r}))\n"
        return subprocess.run(
            [str(python), "-c", script], capture_output=True, text=True, check=False
        )

    async with listening(shop.app) as url:
        ran = await asyncio.to_thread(run, url)

    assert (ran.returncode, ran.stdout) == (0, "1 invoice.created\n"), ran.stderr
