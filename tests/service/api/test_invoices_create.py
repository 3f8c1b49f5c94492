"""Creating an invoice."""

import pytest

from tests.service.api.shop import Shop

pytestmark = pytest.mark.anyio


async def test_create_answers_201_with_the_invoice_and_its_place(shop: Shop) -> None:
    """I post an invoice and get it back, with where to read it and its version."""
    answer = await shop.create()

    assert answer.status_code == 201, answer.text
    assert answer.headers["Location"] == "/v1/invoices/acme-2026-000123"
    read = await shop.client.get(answer.headers["Location"])
    assert read.headers["ETag"] == answer.headers["ETag"]
    assert read.json() == answer.json()
