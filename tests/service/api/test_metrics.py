"""`/metrics`: figures for Prometheus, and nothing about anybody."""

from dataclasses import replace
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette

from service.api.routes import api_routes, exception_handlers
from service.settings import Settings
from tests.service.api.shop import MSN, ONLY_SQLITE, PHONE, Shop, take_away

pytestmark = pytest.mark.anyio

_REAL = {
    "vipps_url": "https://apitest.vipps.no",
    "public_url": "https://pay.example.com",
}


def _samples(answer: httpx.Response) -> dict[tuple[str, ...], float]:
    """Return each sample by its name, its sales unit if it has one, and what it counts."""
    assert answer.status_code == 200, answer.text
    families = text_string_to_metric_families(answer.text)
    found = (sample for family in families for sample in family.samples)
    return {_name(s.name, s.labels): s.value for s in found}


def _name(name: str, labels: dict[str, str]) -> tuple[str, ...]:
    what = (v for k, v in sorted(labels.items()) if k not in ("sales_unit", "process"))
    unit = (labels["sales_unit"],) if "sales_unit" in labels else ()
    return (name, *unit, *what)


async def test_metrics_tell_how_it_goes_and_name_nobody(shop: Shop) -> None:
    """My alarm can watch it, and my customers' data stays where it is."""
    await shop.create(description="Insurance of Kari")
    shop.running.outcomes = {"applied": 3, "duplicate": 1}
    shop.running.refusals = {"StaleTimestamp": 2}

    answer = await shop.nobody.get("/metrics")

    samples = _samples(answer)
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert samples["betalbar_invoices", MSN, "created"] == 1
    assert samples["betalbar_commands_open", MSN, "create_payment"] == 1
    assert samples["betalbar_webhooks_received_total", "duplicate"] == 1
    assert samples["betalbar_webhooks_refused_total", "StaleTimestamp"] == 2
    secret = (PHONE, "Kari", "acme-2026", "Insurance", "a-client-secret")
    assert [text for text in secret if text in answer.text] == []


async def test_metrics_are_read_once_however_many_ask(shop: Shop) -> None:
    """Whoever asks all the time costs my database nothing."""
    first = await shop.nobody.get("/metrics")
    await shop.create()

    again = await shop.nobody.get("/metrics")

    assert _samples(again) == _samples(first)


async def test_metrics_without_a_database_are_not_there(shop: Shop) -> None:
    """Prometheus sees that it is down, instead of figures of yesterday."""
    take_away(shop.database)

    answer = await shop.nobody.get("/metrics")

    assert answer.status_code == 503


async def _asked(shop: Shop, *keys: str, address: str = "127.0.0.1", **settings: Any) -> list[int]:
    """Return how a service with these settings answers who comes with these keys."""
    given: Settings = shop.context.settings.model_copy(update=settings)
    routes = api_routes(replace(shop.context, settings=given), shop.running)
    app = Starlette(routes=routes, exception_handlers=exception_handlers())
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app, client=(address, 4711)), base_url="http://any.host"
    ) as client:
        headers = [{"Authorization": f"Bearer {key}"} if key else {} for key in keys]
        return [(await client.get("/metrics", headers=h)).status_code for h in headers]


@ONLY_SQLITE
async def test_metrics_with_a_key_open_to_it_alone(shop: Shop) -> None:
    """They are every sales unit's figures: no sales unit's own key opens them."""
    own = shop.client.headers["Authorization"].removeprefix("Bearer ")

    statuses = await _asked(shop, "", "wrong", own, "the-key", metrics_key="the-key")

    assert statuses == [401, 401, 401, 200]


@ONLY_SQLITE
async def test_metrics_beside_a_real_vipps_need_a_key(shop: Shop) -> None:
    """Nobody sees how my business goes because I forgot a setting."""
    assert await _asked(shop, "", "anything", **_REAL) == [401, 401]
    assert await _asked(shop, "", "the-key", metrics_key="the-key", **_REAL) == [401, 200]


@ONLY_SQLITE
@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("127.0.0.1", 200),
        ("::1", 200),
        ("10.0.0.7", 401),
        ("2001:db8::1", 401),
        ("not-an-address", 401),
    ],
)
async def test_metrics_without_a_key_are_for_this_machine_alone(
    shop: Shop, address: str, status: int
) -> None:
    """Whoever reaches my port from elsewhere learns nothing of how my business goes."""
    assert await _asked(shop, "", address=address) == [status]
    assert await _asked(shop, "the-key", address=address, metrics_key="the-key") == [200]
