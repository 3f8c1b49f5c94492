"""What can be kept or scanned from an invoice's page: its PDF, and its link as QR code."""

from anyio import to_thread
from starlette.responses import Response

from service.context import Context
from service.documents.qr import qr_svg
from service.documents.serving import document_response, pdf_headers
from service.ledger.documents import StoredDocument, find_document
from service.ledger.resource import page_url
from service.pages.endpoint import PRIVATE, Visit
from service.pages.look import Found
from service.pages.view import invoice_on_page


class Papers:
    """Answer with files; none of them moves anything."""

    def __init__(self, context: Context) -> None:
        """Keep what is needed."""
        self._context = context

    async def document(self, visit: Visit) -> Response:
        """Answer `GET /i/{token}/document`: the merchant's PDF, else one drawn from the lines."""
        name = visit.found.invoice.reference
        stored = await to_thread.run_sync(self._find, visit.found)
        if stored is not None:
            return document_response(self._context, stored, visit.request, file_name=name)
        drawn = await to_thread.run_sync(self._draw, visit)
        return Response(drawn, headers=pdf_headers(name))

    async def qr(self, visit: Visit) -> Response:
        """Answer `GET /i/{token}/qr.svg`."""
        svg = qr_svg(self._link(visit.found))
        headers = {**PRIVATE, "X-Content-Type-Options": "nosniff"}
        return Response(svg, headers=headers, media_type="image/svg+xml")

    def _find(self, found: Found) -> StoredDocument | None:
        with self._context.database.snapshot() as session:
            return find_document(session, self._context.vault, found.invoice)

    def _draw(self, visit: Visit) -> bytes:
        # What draws takes a tenth of a second to load, which no start waits for.
        from service.pages.paper import invoice_pdf

        now = self._context.clock.business_now()
        invoice = invoice_on_page(visit.found, visit.language, now)
        return invoice_pdf(invoice, visit.language, visit.brand, self._link(visit.found))

    def _link(self, found: Found) -> str:
        return page_url(found.invoice.id, self._context.vault, self._context.settings.base_url)
