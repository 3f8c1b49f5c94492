"""API keys with scopes, an end, an overlap, and a limit."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import httpx
import pytest
from starlette.applications import Starlette

from service.api.contract.table import OPERATIONS, scope_of
from service.api.keys import Grant, create_key, list_keys, rotate_key
from service.api.routes import api_routes
from service.errors import NotFound
from service.kinds import Scope
from service.store.tables import ApiKey
from tests.api_contract import check_answers
from tests.service.api.shop import MSN, NOW, ONLY_SQLITE, Shop

pytestmark = pytest.mark.anyio


def _calls() -> Iterator[tuple[str, str, Scope]]:
    for path, methods in OPERATIONS.items():
        for method, operation in methods.items():
            if not operation.is_open:
                yield method, path, scope_of(method, operation)


@asynccontextmanager
async def _with_key(shop: Shop, grant: Grant) -> AsyncIterator[httpx.AsyncClient]:
    with shop.database.transaction() as session:
        _, plain = create_key(session, msn=MSN, name="narrow", now=NOW, grant=grant)
    async with _client(shop.app, plain) as client:
        yield client


def _client(app: Starlette, key: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app),
        base_url="http://api.example",
        headers={"Authorization": f"Bearer {key}"},
        event_hooks={"response": [check_answers]},
    )


@ONLY_SQLITE
@pytest.mark.parametrize("scope", Scope)
async def test_key_without_a_scope_can_do_nothing_that_needs_it(shop: Shop, scope: Scope) -> None:
    """Who may read can't take money; on every route there is."""
    others = [other for other in Scope if other != scope]
    refused, let_in = set[tuple[str, str]](), set[tuple[str, str]]()

    async with _with_key(shop, Grant(others)) as client:
        for method, path, _ in _calls():
            # What a filter does not know is refused before anything is done.
            url = path.replace("{", "").replace("}", "") + "?unknown=1"
            answer = await client.request(method, url)
            is_refused = answer.status_code == 403
            (refused if is_refused else let_in).add((method, path))
            if is_refused:
                assert answer.json()["code"] == "scope_missing"
                assert f"`{scope}`" in answer.json()["detail"]

    assert refused == {(method, path) for method, path, needed in _calls() if needed == scope}
    assert refused and let_in


@ONLY_SQLITE
async def test_money_is_moved_by_four_calls_only(shop: Shop) -> None:
    """I see at a glance what a key without `money` keeps safe."""
    needed = {path.rpartition("/")[2] for _, path, scope in _calls() if scope == Scope.MONEY}

    assert needed == {"capture", "refund", "cancel", "paid-elsewhere"}


async def test_key_ends_at_its_day(shop: Shop) -> None:
    """A key for a supplier's project ends by itself."""
    async with _with_key(shop, Grant(expires_at=NOW + timedelta(hours=1))) as client:
        before = await client.get("/v1/machine")
        shop.later(hours=1)
        after = await client.get("/v1/machine")

    assert (before.status_code, after.status_code) == (200, 401)


async def test_rotated_key_is_good_beside_the_new_one_until_the_overlap_ends(shop: Shop) -> None:
    """I change keys without a gap, and the old one ends without me."""
    with shop.database.transaction() as session:
        old = session.get_one(ApiKey, shop.key_id)
        old.scopes = [Scope.READ]
        session.add(old)
        new, plain = rotate_key(session, shop.key_id, overlap=timedelta(hours=2), now=NOW)

    async with _client(shop.app, plain) as client:
        both = [(await one.get("/v1/machine")).status_code for one in (shop.client, client)]
        shop.later(hours=2)
        then = [(await one.get("/v1/machine")).status_code for one in (shop.client, client)]

    assert (both, then) == ([200, 200], [401, 200])
    assert (new.msn, new.name, new.scopes, new.expires_at) == (MSN, "test", ["read"], None)
    with shop.database.transaction() as session, pytest.raises(NotFound):
        rotate_key(session, shop.key_id, overlap=timedelta(), now=shop.times[-1])


@ONLY_SQLITE
async def test_rotation_never_makes_a_key_good_for_longer(shop: Shop) -> None:
    """What should end on Friday does."""
    end = NOW + timedelta(minutes=5)
    with shop.database.transaction() as session:
        made, _ = create_key(session, msn=MSN, name="n", now=NOW, grant=Grant(expires_at=end))
        new, _ = rotate_key(session, made.id, overlap=timedelta(days=1), now=NOW)

    assert (made.expires_at, new.expires_at) == (end, end)


async def test_use_of_a_key_is_noted_now_and_then(shop: Shop) -> None:
    """I find the keys that nobody uses; a busy one costs no write per request."""
    noted = []
    for _ in range(3):
        await shop.client.get("/v1/machine")
        with shop.database.snapshot() as session:
            noted += [key.last_used_at for key in list_keys(session, msn=MSN)]
        shop.later(minutes=6)

    assert noted == [NOW, NOW, NOW + timedelta(minutes=12)]


@ONLY_SQLITE
async def test_key_that_calls_too_often_gets_429_and_no_other_key(shop: Shop) -> None:
    """A program of mine that has run wild harms nobody else, and is told when to go on."""
    narrow = shop.context.settings.model_copy(update={"key_calls_per_minute": 3})
    app = Starlette(routes=api_routes(replace(shop.context, settings=narrow), shop.running))
    keys = [
        one.headers["Authorization"].removeprefix("Bearer ") for one in (shop.client, shop.other)
    ]

    async with _client(app, keys[0]) as wild, _client(app, keys[1]) as other:
        answers = [await wild.get("/v1/machine") for _ in range(5)]
        theirs = await other.get("/v1/machine")

    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    assert answers[-1].json()["code"] == "too_many_requests"
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 61
    assert theirs.status_code == 200
