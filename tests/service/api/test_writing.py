"""Many merchants' changes at once: none refused for want of a turn, none spoilt by another."""

import asyncio
from typing import Any

import sqlalchemy as sa

from service.store.tables import Invoice
from tests.service.api.shop import INVOICE, Shop

_AT_ONCE = 60


async def test_burst_of_posts_is_stored_whole_and_a_bad_one_fails_alone(shop: Shop) -> None:
    """Sixty at once are sixty answers; a conflict among them undoes nothing but itself."""
    await shop.client.post("/v1/invoices", json=_invoice(0))
    taken = _invoice(0) | {"description": "Another invoice"}
    bodies = [taken if number % 10 == 0 else _invoice(number) for number in range(_AT_ONCE)]

    answers = await asyncio.gather(
        *(shop.client.post("/v1/invoices", json=body) for body in bodies)
    )

    statuses = [answer.status_code for answer in answers]
    assert statuses == [409 if number % 10 == 0 else 201 for number in range(_AT_ONCE)]
    with shop.context.database.snapshot() as session:
        stored = session.execute(sa.select(sa.func.count()).select_from(Invoice)).scalar_one()
    assert stored == 1 + statuses.count(201)


async def test_same_post_many_times_at_once_has_one_effect(shop: Shop) -> None:
    """Twins that share a commit are one invoice and one answer."""
    key = {"Idempotency-Key": "twins"}

    answers = await asyncio.gather(
        *(shop.client.post("/v1/invoices", json=_invoice(1), headers=key) for _ in range(20))
    )

    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    replayed = [answer.headers.get("Idempotent-Replayed") for answer in answers]
    assert replayed.count(None) == 1


def _invoice(number: int) -> dict[str, Any]:
    return INVOICE | {
        "reference": f"acme-burst-{number:06}",
        "customer": {"phoneNumber": f"47{90_000_000 + number}"},
    }
