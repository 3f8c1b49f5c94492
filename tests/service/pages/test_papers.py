"""The document behind an invoice's page: the merchant's PDF by ranges, else one that we draw."""

from typing import Any

import httpx
import pytest
from reportlab.pdfbase import pdfmetrics

from service.documents.serving import Span, span_of
from service.ledger.book import Book
from service.ledger.documents import CHUNK_BYTES, keep_document
from service.ledger.types import Ask
from service.pages.languages import LANGUAGES
from service.pages.paper import _PLAIN
from service.store.tables import InvoiceRecord
from tests.builders import ONLY_SQLITE, REFERENCE
from tests.service.pages.visiting import Visitor, a_line

pytestmark = pytest.mark.anyio

PDF = b"%PDF-1.7\n" + bytes(range(256)) * 1200  # three pieces


def _upload(visitor: Visitor, content: bytes = PDF) -> None:
    def keep(book: Book, invoice: InvoiceRecord, ask: Ask) -> None:
        keep_document(book, invoice, content, ask)

    visitor.desk.act(keep)


async def _get(visitor: Visitor, **headers: str) -> httpx.Response:
    return await visitor.client.get(f"{visitor.path()}/document", headers=headers)


async def test_uploaded_document_is_read_in_the_browser(visitor: Visitor) -> None:
    """The merchant's own PDF, shown and not downloaded, kept by no cache, named as the invoice."""
    visitor.bill()
    _upload(visitor)

    answer = await _get(visitor)

    assert (answer.status_code, answer.content) == (200, PDF)
    assert answer.headers["Content-Type"] == "application/pdf"
    assert answer.headers["Content-Disposition"] == f'inline; filename="{REFERENCE}.pdf"'
    assert answer.headers["Content-Length"] == str(len(PDF))
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize(
    ("wanted", "begin", "end"),
    [
        ("bytes=0-4", 0, 5),
        (f"bytes={CHUNK_BYTES - 2}-{CHUNK_BYTES + 1}", CHUNK_BYTES - 2, CHUNK_BYTES + 2),
        (f"bytes={CHUNK_BYTES}-", CHUNK_BYTES, len(PDF)),
        ("bytes=-7", len(PDF) - 7, len(PDF)),
        ("bytes=5-999999999", 5, len(PDF)),
    ],
)
async def test_range_is_exactly_those_bytes(
    visitor: Visitor, wanted: str, begin: int, end: int
) -> None:
    """A reader that wants the last page does not fetch the first."""
    visitor.bill()
    _upload(visitor)

    answer = await _get(visitor, Range=wanted)

    assert (answer.status_code, answer.content) == (206, PDF[begin:end])
    assert answer.headers["Content-Range"] == f"bytes {begin}-{end - 1}/{len(PDF)}"


@ONLY_SQLITE
async def test_range_beyond_the_end_or_of_another_version_is_told(visitor: Visitor) -> None:
    """416 says how much there is; a part of an older version is never mixed with a newer one."""
    visitor.bill()
    _upload(visitor)

    beyond = await _get(visitor, Range=f"bytes={len(PDF)}-")
    stale = await _get(visitor, Range="bytes=0-4", **{"If-Range": '"another"'})

    assert (beyond.status_code, beyond.headers["Content-Range"]) == (416, f"bytes */{len(PDF)}")
    assert (stale.status_code, stale.content) == (200, PDF)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "bytes=-",
        "bytes=5-4",
        "bytes=0-1,3-4",
        "bytes=" + ",".join("0-" for _ in range(10_000)),
        "bytes=0-" + "9" * 5000,
        "lines=1-2",
        "bytes= 0-1",
        "bytes=\u0661-\u0662",
    ],
)
def test_range_that_is_no_single_range_gives_the_whole(header: str) -> None:
    """Many ranges at once are an attack rather than a reader."""
    assert span_of(header, 100) == Span(0, 100)


async def test_invoice_without_a_document_is_drawn(visitor: Visitor) -> None:
    """There is always something to keep; the same invoice is the same file, in any language."""
    lines = [a_line("Årskort & <b>rabatt</b> áčđŋšŧž ðþ øæ", 150_000), a_line("Frakt", 50_000)]
    visitor.bill(terms={"kid": "1234566", "orderLines": lines})

    drawn = {code: (await _get(visitor, **{"Accept-Language": code})).content for code in LANGUAGES}
    again = await _get(visitor, **{"Accept-Language": "nb"})

    assert all(content.startswith(b"%PDF-") for content in drawn.values())
    assert len(set(drawn.values())) == 5
    assert again.content == drawn["nb"]
    assert again.headers["Content-Type"] == "application/pdf"
    assert len(again.content) < 60_000
    font: Any = pdfmetrics.getFont(_PLAIN)
    glyphs = font.face.charToGlyph
    letters = "æøåäöÆØÅÄÖéðþÐÞáčđŋšŧžÁČĐŊŠŦŽ€\N{NO-BREAK SPACE}\N{MINUS SIGN}"
    assert set(map(ord, letters)) <= set(glyphs)


@ONLY_SQLITE
async def test_long_invoice_goes_on_over_pages(visitor: Visitor) -> None:
    """Two hundred lines with names as long as they may be break no page."""
    visitor.bill(terms={"orderLines": [a_line("Ubrutt" * 80, 1_000) for _ in range(200)]})

    answer = await _get(visitor)

    assert answer.status_code == 200
    assert answer.content.count(b"/Type /Page\n") > 10


@ONLY_SQLITE
async def test_files_of_an_unknown_token_do_not_exist(visitor: Visitor) -> None:
    """Nobody learns by guessing whether there is a document."""
    for name in ("document", "qr.svg"):
        answer = await visitor.client.get(f"/i/{'A' * 24}/{name}")
        assert answer.status_code == 404


@ONLY_SQLITE
async def test_qr_on_the_page_is_its_own_link(visitor: Visitor) -> None:
    """For a phone next to a desktop."""
    visitor.bill()

    answer = await visitor.client.get(f"{visitor.path()}/qr.svg")

    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "image/svg+xml")
    assert answer.headers["Cache-Control"] == "no-store"
