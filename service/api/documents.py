"""What goes with an invoice on paper: its PDF, and its link as QR code."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from sqlmodel import Session

from service.api.answers import Answer, json_answer
from service.api.bodies import read_body
from service.api.calls import Call
from service.api.conditions import require_match
from service.api.errors import TooManyUploads, UnsupportedMedia, UploadTooSlow
from service.api.idempotency import Claim, read_key
from service.api.invoices import etag_of, reference_of
from service.api.mutations import Effect, Mutation, perform
from service.documents.qr import qr_png, qr_svg
from service.errors import FieldError, InvalidInput
from service.ledger.book import Book
from service.ledger.documents import keep_document
from service.ledger.finding import find_invoice
from service.ledger.resource import page_url
from service.ledger.types import Ask
from service.shapes.invoices import DocumentResource
from service.store.instants import rfc3339_of

PDF_BYTES_MAX = 10 * 1024 * 1024
# Each is in memory whole, some three times over until it is sealed: 150 MB at most, a process.
UPLOADS_AT_ONCE = 5
# Who drips a document keeps a place from others for no longer.
UPLOAD_WITHIN_S = 60.0

_PDF: Final = "application/pdf"
# Every PDF begins so; one that begins otherwise is perhaps something else as well.
_MAGIC = b"%PDF-"


class Uploads:
    """The documents that come in at this moment, of one process."""

    def __init__(self, *, at_once: int = UPLOADS_AT_ONCE, within_s: float = UPLOAD_WITHIN_S):
        """Start with every place free."""
        self._free = at_once
        self._within_s = within_s

    async def put(self, call: Call) -> Answer:
        """Answer `PUT …/document`: keep the PDF that the invoice's page shows.

        Raises: TooManyUploads, UploadTooSlow, and what is wrong with it."""
        async with self._place():
            return await _put(call, within_s=self._within_s)

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        if not self._free:
            raise TooManyUploads
        self._free -= 1
        try:
            yield
        finally:
            self._free += 1


async def _put(call: Call, *, within_s: float) -> Answer:
    reference = reference_of(call)
    media_type = call.request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != _PDF:
        raise UnsupportedMedia
    try:
        async with asyncio.timeout(within_s):
            content = await read_body(call.request, bytes_max=PDF_BYTES_MAX)
    except TimeoutError as error:
        raise UploadTooSlow from error
    if not content.startswith(_MAGIC):
        raise InvalidInput(FieldError("body", "is not a PDF"))
    mutation = _mutation(call, content)

    def work(session: Session) -> Effect:
        book = Book(session, call.context)
        invoice = book.invoice_by_reference(call.caller.msn, reference)
        require_match(mutation.if_match, etag_of(session, invoice))
        document = keep_document(book, invoice, content, Ask(actor=call.caller.actor))
        book.post()
        kept: DocumentResource = {
            "reference": invoice.reference,
            "contentType": _PDF,
            "bytes": document.size_bytes,
            "sha256": document.sha256.hex(),
            "uploadedAt": rfc3339_of(document.uploaded_at),
        }
        return Effect(json_answer(kept))

    return await perform(call, mutation, work)


async def svg(call: Call) -> Answer:
    """Answer `GET …/qr.svg`."""
    return Answer(200, qr_svg(await _link(call)), {"Content-Type": "image/svg+xml"})


async def png(call: Call) -> Answer:
    """Answer `GET …/qr.png`."""
    return Answer(200, qr_png(await _link(call)), {"Content-Type": "image/png"})


async def _link(call: Call) -> str:
    """Return the link of the invoice's page: good for as long as the invoice."""
    reference, context = reference_of(call), call.context
    invoice = await call.read(lambda session: find_invoice(session, call.caller.msn, reference))
    return page_url(invoice.id, context.vault, context.settings.base_url)


def _mutation(call: Call, content: bytes) -> Mutation:
    request, claim = call.request, None
    key = read_key(request.scope["headers"])
    if key is not None:
        digest = call.context.vault.request_print(hashlib.sha256(content).digest())
        claim = Claim(call.caller.msn, f"PUT {request.url.path}", key, digest)
    return Mutation(None, claim, request.headers.get("if-match"))
