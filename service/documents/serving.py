"""A stored document as an HTTP answer: whole, or one range of it.

One range only, since many small ones cost a server much and a reader little; a header that asks for
more, or that is not understood, is ignored (RFC 9110, 14.2).
"""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from service.context import Context
from service.ledger.documents import CHUNK_BYTES, StoredDocument, read_chunk

_RANGE = re.compile(r"bytes=([0-9]{0,12})-([0-9]{0,12})")

# Nobody keeps a copy, no other page shows it, and its address is told to nobody.
_PRIVATE = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'self'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex",
}


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes from `start` up to, and without, `end`."""

    start: int
    end: int


def pdf_headers(file_name: str) -> dict[str, str]:
    """Return the headers of a PDF that is read in the browser; the name is plain ASCII."""
    disposition = f'inline; filename="{file_name}.pdf"'
    return {**_PRIVATE, "Content-Type": "application/pdf", "Content-Disposition": disposition}


def document_response(
    context: Context, document: StoredDocument, request: Request, *, file_name: str
) -> Response:
    """Return the document, or the range that is asked for; 416 for one that is not there."""
    etag = f'"{document.sha256.hex()}"'
    headers = {**pdf_headers(file_name), "Accept-Ranges": "bytes", "ETag": etag}
    wanted = request.headers.get("range", "")
    if request.headers.get("if-range", etag) != etag:
        wanted = ""  # of another version: the reader gets this one whole
    span, size = span_of(wanted, document.size_bytes), document.size_bytes
    if span is None:
        return Response(status_code=416, headers={**_PRIVATE, "Content-Range": f"bytes */{size}"})
    headers["Content-Length"] = str(span.end - span.start)
    status = 200
    if span != Span(0, size) or _RANGE.fullmatch(wanted):
        status, headers["Content-Range"] = 206, f"bytes {span.start}-{span.end - 1}/{size}"
    return StreamingResponse(_stream(context, document, span), status, headers=headers)


def span_of(header: str, size: int) -> Span | None:
    """Return what a `Range` asks of a file; the whole where it asks nothing that we do.

    None: it asks for what is beyond the end."""
    found = _RANGE.fullmatch(header)
    if found is None or found[1] == found[2] == "":
        return Span(0, size)
    first, last = found[1], found[2]
    if first == "":
        length = min(int(last), size)
        return Span(size - length, size) if length else None
    start, end = int(first), min(int(last) + 1 if last else size, size)
    if last and int(last) < start:
        return Span(0, size)  # not a range at all
    return Span(start, end) if start < size else None


async def _stream(context: Context, document: StoredDocument, span: Span) -> AsyncIterator[bytes]:
    """Open one piece after the other, each in a look of its own: a slow reader holds nothing."""
    for number in range(span.start // CHUNK_BYTES, -(-span.end // CHUNK_BYTES)):
        piece = await to_thread.run_sync(read_chunk, context, document, number)
        begin = number * CHUNK_BYTES
        yield piece[max(span.start - begin, 0) : span.end - begin]
