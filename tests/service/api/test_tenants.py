"""No key reads or changes another sales unit's data, on any route there is (I10, T34)."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlmodel import SQLModel
from starlette.routing import Route

from service.api.routes import api_routes
from service.store.db import Database
from tests.service.api.shop import INVOICE, MSN, Shop

pytestmark = pytest.mark.anyio

# A body that each mutating route would take from the owner.
BODIES: dict[str, Any] = {
    "/v1/invoices": {**INVOICE, "reference": "others-2026-1"},
    "/v1/subscriptions": {"url": "https://other.example/in", "eventTypes": ["*"]},
    "/v1/invoices/{reference}/paid-elsewhere": {"channel": "bank"},
    "/v1/customers": {"phoneNumber": "4798765432"},
    "/v1/customers/search": {"phoneNumber": INVOICE["customer"]["phoneNumber"]},
    "/v1/subscriptions/{id}/replay": {"from": "2026-11-22T00:00:00Z", "mode": "all"},
}
FILES: dict[str, Any] = {
    "/v1/invoices/{reference}/document": {
        "content": b"%PDF-1.7",
        "headers": {"Content-Type": "application/pdf"},
    }
}
# What is nobody's, and what makes or lists the caller's own.
OWN = {
    "/v1/machine",
    "/v1/signing-keys",
    "/v1/customers",
    "/v1/customers/search",
    "/v1/invoices",
    "/v1/subscriptions",
    "/v1/events",
    "/v1/events/digest",
    "/v1/feed",
    "/v1/feed/events",
    "/v1/events/stream",
    "/v1/reports/daily",
}
# An address that goes on for ever is asked for what it refuses; test_event_stream.py reads it.
ENDLESS = {"/v1/events/stream": {"cursor": "none"}}


def _calls(shop: Shop) -> Iterator[tuple[str, str]]:
    for route in api_routes(shop.context, shop.running):
        assert isinstance(route, Route)
        for method in sorted(route.methods or ()):
            yield method, route.path


async def test_every_route_hides_another_sales_units_data(shop: Shop) -> None:
    """With somebody else's key, my invoices and subscriptions do not exist."""
    invoice = (await shop.create()).json()
    subscription = (
        await shop.client.post(
            "/v1/subscriptions", json={"url": "https://mine.example/in", "eventTypes": ["*"]}
        )
    ).json()
    names = {
        "/v1/customers/{id}": f"/v1/customers/{invoice['customer']['id']}",
        "{reference}": invoice["reference"],
        "{id}": subscription["id"],
    }
    before = _rows(shop.database, MSN)
    tried = set()

    for method, path in _calls(shop):
        url = path
        for part, name in names.items():
            url = url.replace(part, name)
        answer = await shop.other.request(
            method,
            url,
            json=BODIES.get(path) if method == "POST" else None,
            params=ENDLESS.get(path),
            **FILES.get(path, {}),
        )

        tried.add((method, path))
        is_named = url != path
        assert is_named or path in OWN or not path.startswith("/v1"), f"{path}: say whose it is"
        assert (answer.status_code == 404) == is_named, f"{method} {path}: {answer.text}"
        for foreign in (invoice["customer"]["id"], invoice["pageUrl"], subscription["id"]):
            assert foreign not in answer.text
        assert "mine.example" not in answer.text
        # Metrics are the operator's, who has all sales units; they name no more than the MSN.
        assert path == "/metrics" or f'"{MSN}"' not in answer.text
    assert len(tried) >= 18
    assert _rows(shop.database, MSN) == before


async def test_every_route_but_health_needs_a_key(shop: Shop) -> None:
    """Nothing of the API is open by accident."""
    for method, path in _calls(shop):
        answer = await shop.nobody.request(method, path.replace("{", "").replace("}", ""))

        expected = 401 if path.startswith("/v1") else 200
        assert answer.status_code == expected, f"{method} {path}"


async def test_customer_of_another_sales_unit_is_unknown(shop: Shop) -> None:
    """I can't send an invoice to a person whom only another merchant knows."""
    customer = (await shop.create()).json()["customer"]["id"]

    answer = await shop.other.post("/v1/invoices", json={**INVOICE, "customer": {"id": customer}})
    listed = await shop.other.get("/v1/invoices", params={"customer": customer})

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "customer.id"
    assert listed.json()["items"] == []


def _rows(database: Database, msn: str) -> dict[str, list[Any]]:
    """Return everything in the database that belongs to a sales unit."""
    with database.snapshot() as session:
        return {
            table.name: sorted(map(repr, session.execute(
                table.select().where(table.c.msn == msn)).all()))
            for table in SQLModel.metadata.sorted_tables
            if "msn" in table.c
        }  # fmt: skip
