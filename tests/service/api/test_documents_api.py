"""The PDF of an invoice, uploaded and sealed; its link as QR code."""

import asyncio
from collections.abc import AsyncIterator
from io import BytesIO
from typing import Any

import httpx
import pytest
import zxingcpp
from PIL import Image
from sqlmodel import col
from starlette.applications import Starlette

from service.api.documents import PDF_BYTES_MAX, UPLOADS_AT_ONCE, Uploads
from service.api.rates import KeyRates
from service.api.routing import keyed_route
from service.api.writing import Writes
from service.ledger.documents import CHUNK_BYTES, find_document, read_chunk
from service.store.tables import Act, Document, DocumentChunk, Invoice
from tests.service.api.shop import ONLY_SQLITE, Shop

pytestmark = pytest.mark.anyio

ADDRESS = "/v1/invoices/acme-2026-000123"
PDF = b"%PDF-1.7\n" + b"Kari Nordmann owes this. " * 12_000
_AS_PDF = {"Content-Type": "application/pdf"}


async def _put(shop: Shop, content: Any = PDF, **headers: str) -> httpx.Response:
    return await shop.client.put(
        f"{ADDRESS}/document", content=content, headers={**_AS_PDF, **headers}
    )


def _stored(shop: Shop) -> bytes | None:
    """Return the document as a reader gets it."""
    invoice = shop.all(Invoice)[0]
    with shop.database.snapshot() as session:
        document = find_document(session, shop.context.vault, invoice)
    if document is None:
        return None
    numbers = range(-(-document.size_bytes // CHUNK_BYTES))
    return b"".join(read_chunk(shop.context, document, number) for number in numbers)


async def test_document_is_kept_sealed_and_whole(shop: Shop) -> None:
    """What I upload is what the customer reads, and no thief of the disk."""
    await shop.create(push=False)

    answer = await _put(shop)

    assert answer.status_code == 200
    assert (answer.json()["bytes"], answer.json()["contentType"]) == (len(PDF), "application/pdf")
    assert _stored(shop) == PDF
    pieces = shop.all(DocumentChunk)
    assert len(pieces) == 3
    assert not any(b"Kari" in piece.sealed for piece in pieces)
    assert [act.name for act in shop.all(Act, Act.name == "document")] == ["document"]


async def test_document_is_replaced_by_the_next_one(shop: Shop) -> None:
    """A corrected PDF takes the place of the wrong one, of which nothing is left."""
    await shop.create(push=False)
    await _put(shop)

    await _put(shop, b"%PDF-1.4 short")

    assert _stored(shop) == b"%PDF-1.4 short"
    assert (len(shop.all(Document)), len(shop.all(DocumentChunk))) == (1, 1)


async def test_document_goes_with_the_person(shop: Shop) -> None:
    """Erasing the customer erases what was written to them."""
    made = (await shop.create(push=False)).json()
    await _put(shop)

    await shop.client.delete(f"/v1/customers/{made['customer']['id']}")

    late = await _put(shop)
    assert (shop.all(Document), shop.all(DocumentChunk), _stored(shop)) == ([], [], None)
    assert (late.status_code, late.json()["code"]) == (409, "customer_erased")


@ONLY_SQLITE
@pytest.mark.parametrize(
    ("content", "media_type", "status", "code"),
    [
        (b"", "application/pdf", 422, "invalid_input"),
        (b"MZ\x90", "application/pdf", 422, "invalid_input"),
        (b"<html>%PDF-1.7", "application/pdf", 422, "invalid_input"),
        (PDF, "text/html", 415, "unsupported_media"),
        (PDF, "", 415, "unsupported_media"),
        (PDF, "application/pdf; charset=x", 200, None),
        (b"%PDF-" + b"x" * (PDF_BYTES_MAX - 4), "application/pdf", 413, "body_too_large"),
    ],
)
async def test_what_is_no_document_is_refused(
    shop: Shop, content: bytes, media_type: str, status: int, code: str | None
) -> None:
    """Only a PDF of at most 10 MiB is kept; the answer says what is wrong."""
    await shop.create(push=False)

    answer = await _put(shop, content, **{"Content-Type": media_type})

    assert (answer.status_code, answer.json().get("code")) == (status, code)
    assert len(shop.all(Document)) == (status == 200)


@ONLY_SQLITE
async def test_endless_document_is_cut_off(shop: Shop) -> None:
    """Who does not say how much comes is stopped at the limit, not after it."""
    await shop.create(push=False)
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        yield b"%PDF-"
        while sent < 10 * PDF_BYTES_MAX:
            sent += 1024 * 1024
            yield b"x" * 1024 * 1024

    answer = await _put(shop, endless())

    assert answer.status_code == 413
    assert shop.all(Document) == []


@ONLY_SQLITE
async def test_documents_at_once_are_bounded(shop: Shop) -> None:
    """One more than there is memory for is sent away, and let in once another has ended."""
    await shop.create(push=False)
    full, go_on = asyncio.Event(), asyncio.Event()
    begun = 0

    async def slow() -> AsyncIterator[bytes]:
        nonlocal begun
        begun += 1
        if begun == UPLOADS_AT_ONCE:
            full.set()
        yield b"%PDF-"
        await go_on.wait()
        yield b"1.7"

    async with asyncio.TaskGroup() as group:
        others = [group.create_task(_put(shop, slow())) for _ in range(UPLOADS_AT_ONCE)]
        await asyncio.wait_for(full.wait(), 20)
        refused = await _put(shop)
        go_on.set()
    taken = await _put(shop)

    assert (refused.status_code, refused.json()["code"]) == (503, "too_many_uploads")
    assert refused.headers["Retry-After"]
    assert [task.result().status_code for task in others] == [200] * UPLOADS_AT_ONCE
    assert taken.status_code == 200


@ONLY_SQLITE
async def test_document_that_drips_is_given_up(shop: Shop) -> None:
    """A place is kept for a minute, not for as long as somebody likes."""
    await shop.create(push=False)
    uploads = Uploads(at_once=1, within_s=0.05)
    path, handlers = "/v1/invoices/{reference}/document", {"PUT": uploads.put}
    rates, writes = KeyRates(100), Writes(shop.context)
    route = keyed_route(shop.context, path, handlers, rates=rates, writes=writes)
    transport = httpx.ASGITransport(app=Starlette(routes=[route]))

    async def endless() -> AsyncIterator[bytes]:
        yield b"%PDF-"
        await asyncio.Event().wait()

    async with httpx.AsyncClient(
        transport=transport, base_url="http://shop.example", headers=shop.client.headers
    ) as client:
        slow = await client.put(f"{ADDRESS}/document", content=endless(), headers=_AS_PDF)
        next_one = await client.put(f"{ADDRESS}/document", content=PDF, headers=_AS_PDF)

    assert (slow.status_code, slow.json()["code"]) == (408, "upload_too_slow")
    assert next_one.status_code == 200


@ONLY_SQLITE
async def test_document_of_another_version_of_the_invoice_is_refused(shop: Shop) -> None:
    """`If-Match` and `Idempotency-Key` hold here as everywhere."""
    await shop.create(push=False)

    stale = await _put(shop, **{"If-Match": '"99"'})
    first = await _put(shop, **{"Idempotency-Key": "doc-1"})
    again = await _put(shop, **{"Idempotency-Key": "doc-1"})
    other = await _put(shop, b"%PDF-other", **{"Idempotency-Key": "doc-1"})

    assert (stale.status_code, other.status_code) == (412, 422)
    assert first.content == again.content
    assert len(shop.all(Act, col(Act.name) == "document")) == 1


async def test_qr_is_the_link_of_the_page(shop: Shop) -> None:
    """A phone's camera reads from paper what I would send."""
    link = (await shop.create(push=False)).json()["pageUrl"]

    png = await shop.client.get(f"{ADDRESS}/qr.png")
    svg = await shop.client.get(f"{ADDRESS}/qr.svg")

    assert png.headers["Content-Type"] == "image/png"
    assert svg.headers["Content-Type"] == "image/svg+xml"
    (read,) = zxingcpp.read_barcodes(Image.open(BytesIO(png.content)))
    assert read.text == link
    assert svg.content.startswith(b"<?xml") and b"<svg" in svg.content
    assert "no-store" in png.headers["Cache-Control"]
