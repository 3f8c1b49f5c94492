"""Nobody in the console, whatever their role, sees or moves another sales unit's data (I10, T34).

The routes are those that are served; a new one is in the matrix by being there."""

import re
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from service.console import Console
from service.kinds import Role
from service.staff.users import NewPerson, add_user
from service.store.db import Database
from tests.foreign import TWIN, Planted, plant, rows_of
from tests.service.api.shop import INVOICE, MSN, NOW, ONLY_SQLITE, OTHER_MSN, Shop, open_shop

pytestmark = [pytest.mark.anyio, ONLY_SQLITE]

_PASSWORD = "a-good-password"
# The way in and out, and what goes on for ever and only says that there is news.
_ELSEWHERE = ("/console/sign-in", "/console/sign-out", "/console/live", "/console/assets/{name}")


@asynccontextmanager
async def _signed_in(
    shop: Shop, role: Role, *, msn: str = OTHER_MSN
) -> AsyncIterator[tuple[Console, httpx.AsyncClient]]:
    """Let somebody in, of the second sales unit unless another is named."""
    with shop.database.transaction() as session:
        person = NewPerson("someone", "Someone", role, (msn,), _PASSWORD, False)
        add_user(session, shop.context.vault, person, now=NOW)
    console = Console(shop.context)
    app = Starlette(routes=console.routes)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app), base_url="http://127.0.0.1:8080"
    ) as client:
        form = {"login": "someone", "password": _PASSWORD}
        assert (await client.post("/console/sign-in", data=form)).status_code == 303
        yield console, client
    console.end()


def _matrix(console: Console, all_names: Sequence[str]) -> Iterator[tuple[str, str]]:
    for route in console.routes:
        assert isinstance(route, Route)
        if route.path in _ELSEWHERE:
            continue
        names = all_names if "{" in route.path else [""]
        for method in sorted(route.methods or ()):
            for name in names:
                yield method, re.sub(r"\{[^}]*\}", name, route.path)


def _query(planted: Planted, name: str) -> dict[str, str]:
    """Return what an address may ask for, all of it the other sales unit's."""
    return {
        "q": "planted",
        "customer": planted.ids["customer"][0],
        "after": name,
        "before": name,
        "status": "failed",
    }


def _form(planted: Planted, csrf: str, sequence: str) -> dict[str, str]:
    """Return a form with every field that a page sends, about the other sales unit."""
    return {
        "csrf": csrf,
        "confirmed": "yes",
        "sequence": sequence,
        "amount": "1.00",
        "refund": "yes",
        "reason": "because",
        "request": planted.ids["invoice"][0],
        "event": planted.ids["event"][0],
        "delivery": planted.ids["delivery"][0],
        "mode": "all",
        "from": "2026-11-01",
        "to": "2026-12-01",
        "q": "4790000017",
        "msn": MSN,
    }


@pytest.mark.parametrize("role", Role)
async def test_no_page_shows_or_moves_another_sales_units_data(
    database: Database, role: Role
) -> None:
    """Not one byte, with any form, under any name, for any role."""
    async with open_shop(database) as shop:
        planted = await plant(shop)
        await shop.other.post("/v1/invoices", json={**INVOICE, "reference": TWIN})
        before = rows_of(shop.database, planted)
        shown, done = [], []
        # Who may do everything tries every name; what others may not do, they may do to none.
        names = planted.names if role == Role.ADMIN else planted.names[:1]
        async with _signed_in(shop, role) as (console, client):
            csrf = re.search(r'name="csrf" value="([^"]*)"', (await client.get("/console")).text)
            assert csrf
            for method, path in _matrix(console, names):
                query = _query(planted, path.rpartition("/")[2])
                sent = [{"params": {}}, {"params": query}]
                if method == "POST":
                    form = _form(planted, csrf[1], "5")
                    sent = [{"data": form}, {"data": {**form, "dry": "yes", "confirmed": ""}}]
                for kind in sent:
                    answer = await client.request(method, path, **kind)  # type: ignore[arg-type]
                    assert answer.status_code != 500, f"{method} {path}: {answer.text}"
                    shown += [
                        (method, path, m) for m in planted.seen_in(answer, given=f"{path}{kind}")
                    ]
                    is_named = any(name in path for name in planted.names)
                    if method != "HEAD" and is_named and answer.is_success:
                        done.append(f"{method} {path}: {answer.status_code}")

        assert shown == []
        assert done == []
        assert rows_of(shop.database, planted) == before


async def test_owners_page_shows_the_marks(database: Database) -> None:
    """The matrix can fail: who belongs to the sales unit is shown them."""
    async with open_shop(database) as shop:
        planted = await plant(shop)
        async with _signed_in(shop, Role.ADMIN, msn=MSN) as (_, client):
            seen = planted.seen_in(await client.get("/console/invoices/planted-2026-0001"))

    assert {"planted-2026-0001", "planted-description", planted.ids["event"][0]} <= set(seen)
