"""No key reads or changes another sales unit's data, on any route there is (I10, T34).

The routes are those that are served, their parameters those that they describe: a new one is in
the matrix by being there."""

import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from starlette.routing import Route

from service.api.contract.table import OPERATIONS
from service.api.keys import Grant, create_key
from service.api.routes import api_routes
from service.kinds import Scope
from tests.foreign import SHOWN, TWIN, Planted, plant, rows_of
from tests.service.api.listening import calling, listening, streaming
from tests.service.api.shop import INVOICE, MSN, NOW, ONLY_SQLITE, OTHER_MSN, Shop

pytestmark = pytest.mark.anyio

# A body that each mutating route would take from the owner.
BODIES: Mapping[str, Any] = {
    "/v1/invoices": {**INVOICE, "reference": "others-2026-1"},
    "/v1/subscriptions": {"url": "https://other.example/in", "eventTypes": ["*"]},
    "/v1/invoices/{reference}/paid-elsewhere": {"channel": "bank"},
    "/v1/customers": {"phoneNumber": "4798765432"},
    "/v1/customers/search": {"phoneNumber": "4790000017"},
    "/v1/subscriptions/{id}/replay": {"from": "2026-11-22T00:00:00Z", "mode": "all"},
}
# The stream goes on for ever: it is asked for what it refuses here, and read below.
STREAM = "/v1/events/stream"
# What each parameter may be given, besides the other sales unit's places and names.
WIDE: Mapping[str, str] = {
    "from": "2026-11-01T00:00:00Z",
    "to": "2026-12-01T00:00:00Z",
    "createdFrom": "2026-11-01T00:00:00Z",
    "date": "2026-11-22",
    "format": "csv",
    "types": "*",
    "event-types": "*",
    "limit": "200",
    "pagesizehint": "1000",
    "n": "1",
    "partition": "0",
    "cursor0": "_first",
    "headers": "all",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """One request of the matrix."""

    method: str
    template: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_named(self) -> bool:
        """Tell whether a name of somebody's stands in the path."""
        return self.template != self.path

    @property
    def given(self) -> str:
        """Return all that the sender has said."""
        return f"{self.path} {dict(self.params)} {self.body} {dict(self.headers)}"

    async def send(self, client: httpx.AsyncClient) -> httpx.Response:
        """Ask it with somebody's key."""
        sent: dict[str, Any] = {"json": self.body} if self.body is not None else {}
        headers = dict(self.headers)
        if self.method == "PUT":
            sent["content"], headers["Content-Type"] = b"%PDF-1.7", "application/pdf"
        return await client.request(
            self.method, self.path, params=self.params, headers=headers, **sent
        )


def matrix(shop: Shop, planted: Planted, names: Sequence[str]) -> Iterator[Asked]:
    """Yield every method of every route, for each name and with each parameter."""
    for route in api_routes(shop.context, shop.running):
        assert isinstance(route, Route)
        paths = [_filled(route.path, name) for name in names] if "{" in route.path else [route.path]
        for method in sorted(route.methods or ()):
            body = BODIES.get(route.path) if method == "POST" else None
            for path in paths:
                for params in _all_params(route.path, method, planted):
                    yield Asked(method, route.path, path, params, body, _headers(method, path))


def _filled(template: str, name: str) -> str:
    return "/".join(name if part.startswith("{") else part for part in template.split("/"))


def _headers(method: str, path: str) -> dict[str, str]:
    # The keys that the other one has used: what is stored under them is not for me.
    changes = method in ("POST", "PUT", "PATCH", "DELETE")
    return {"Idempotency-Key": f"planted-key-{path.rpartition('/')[2][:40]}"} if changes else {}


def _all_params(template: str, method: str, planted: Planted) -> Iterator[dict[str, str]]:
    if template == STREAM:
        yield {"cursor": "none"}
        yield from ({"cursor": cursor} for cursor in planted.cursors)
        return
    yield {}
    operation = OPERATIONS.get(template, {}).get(method)
    for name in operation.query_names if operation else ():
        yield from ({name: cursor} for cursor in planted.cursors if "cursor" in name)
        if name in ("customer", "q", "state", "status", "token"):
            yield from ({name: text} for text in (*planted.names, "planted"))
        if name in WIDE:
            yield {name: WIDE[name]}
    if template in ("/v1/events/digest", "/v1/feed/events"):
        yield {n: WIDE[n] for n in operation.query_names if n in WIDE} if operation else {}


@pytest.fixture
async def planted(shop: Shop) -> AsyncIterator[Planted]:
    """Fill the first sales unit, and give the second a twin and something of its own."""
    yield await plant(shop)


async def _twin(shop: Shop) -> None:
    made = await shop.other.post("/v1/invoices", json={**INVOICE, "reference": TWIN})
    assert made.status_code == 201, made.text


async def test_no_route_shows_or_changes_another_sales_units_data(
    shop: Shop, planted: Planted
) -> None:
    """With somebody else's key, under any name of mine, at any place of mine: not one byte."""
    await _twin(shop)
    before = rows_of(shop.database, planted)
    shown, found, count = [], [], 0

    for asked in matrix(shop, planted, planted.names):
        answer = await asked.send(shop.other)
        count += 1
        # Metrics are the operator's, who has all sales units; they name no more than the MSN.
        shown += [(asked, mark) for mark in planted.seen_in(answer, given=asked.given)]
        if asked.is_named and answer.status_code not in (404, 422):
            found.append(f"{asked.method} {asked.path}: {answer.status_code}")

    assert shown == []
    assert found == []
    assert rows_of(shop.database, planted) == before
    assert count > 400


@ONLY_SQLITE
async def test_marks_are_there_for_whom_they_belong_to(shop: Shop, planted: Planted) -> None:
    """The matrix can fail: with my own key the same calls show what it looks for."""
    seen = set()

    for asked in matrix(shop, planted, planted.names):
        if asked.method == "GET" and asked.template != STREAM:
            answer = await asked.send(shop.client)
            seen |= set(planted.seen_in(answer))

    # What only people are shown, on the invoice page and in the console.
    hidden = {"planted-file", f"Acme {MSN}"}
    unseen = set(planted.marks) - seen - hidden
    assert {mark for mark in unseen if not _is_id(mark)} == set()
    assert {planted.ids[kind][0] for kind in SHOWN} <= seen


def _is_id(mark: str) -> bool:
    return re.fullmatch(r"[a-z]{3}_[0-9A-Z]{26}", mark) is not None


async def test_twin_of_the_same_name_shows_and_moves_only_its_own(
    shop: Shop, planted: Planted
) -> None:
    """Two shops may number their invoices alike: each sees its own under the name."""
    await _twin(shop)
    before = rows_of(shop.database, planted)
    shown = []

    for asked in matrix(shop, planted, [TWIN]):
        if asked.is_named and asked.method != "HEAD":
            answer = await asked.send(shop.other)
            mine = asked.template.startswith("/v1/invoices")
            assert (answer.status_code != 404) if mine else not answer.is_success
            shown += planted.seen_in(answer, given=asked.given)

    assert shown == []
    assert rows_of(shop.database, planted) == before


@ONLY_SQLITE
@pytest.mark.parametrize("scope", Scope)
async def test_narrow_key_shows_no_more_than_a_whole_one(
    shop: Shop, planted: Planted, scope: Scope
) -> None:
    """What a key is good for never widens whose data it is good for."""
    before = rows_of(shop.database, planted)

    async with _with_key(shop, Grant([scope])) as client:
        for asked in matrix(shop, planted, planted.names[:1]):
            answer = await asked.send(client)

            assert planted.seen_in(answer, given=asked.given) == []
            assert not (asked.is_named and answer.is_success)

    assert rows_of(shop.database, planted) == before


@asynccontextmanager
async def _with_key(shop: Shop, grant: Grant) -> AsyncIterator[httpx.AsyncClient]:
    with shop.database.transaction() as session:
        _, plain = create_key(session, msn=OTHER_MSN, name="narrow", now=NOW, grant=grant)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=shop.app),
        base_url="http://api.example",
        headers={"Authorization": f"Bearer {plain}"},
    ) as client:
        yield client


@ONLY_SQLITE
async def test_stream_begins_with_the_callers_own_events(shop: Shop, planted: Planted) -> None:
    """From its very beginning, another one's stream holds nothing of mine."""
    await _twin(shop)

    async with (
        listening(shop.app) as url,
        calling(url, shop.other) as other,
        streaming(other, cursor="_first") as stream,
    ):
        text = await stream.data()

    assert TWIN in text
    assert planted.seen_in(httpx.Response(200, text=text)) == []


async def test_every_route_but_health_needs_a_key(shop: Shop) -> None:
    """Nothing of the API is open by accident."""
    for route in api_routes(shop.context, shop.running):
        assert isinstance(route, Route)
        for method in sorted(route.methods or ()):
            answer = await shop.nobody.request(method, _filled(route.path, "name"))

            expected = 401 if route.path.startswith("/v1") else 200
            assert answer.status_code == expected, f"{method} {route.path}"


async def test_customer_of_another_sales_unit_is_unknown(shop: Shop) -> None:
    """I can't send an invoice to a person whom only another merchant knows."""
    customer = (await shop.create()).json()["customer"]["id"]

    answer = await shop.other.post("/v1/invoices", json={**INVOICE, "customer": {"id": customer}})
    listed = await shop.other.get("/v1/invoices", params={"customer": customer})

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "customer.id"
    assert listed.json()["items"] == []
