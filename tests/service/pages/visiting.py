"""A visitor of invoice pages: the routes over HTTP, on a real database."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from starlette.applications import Starlette

from service.pages.routes import page_routes
from service.store.db import Database
from tests.builders import REFERENCE, Desk, a_desk

BASE_URL = "http://pages.example"


@dataclass(slots=True)
class Visitor:
    """Somebody with a browser, and the service's inside."""

    desk: Desk
    client: httpx.AsyncClient

    def bill(self, **changed: Any) -> None:
        """Make an invoice by link, for somebody who is not known yet."""
        self.desk.create(**{"flow": "WEB_REDIRECT", "phone_number": None} | changed)

    def path(self, reference: str = REFERENCE) -> str:
        """Return the path of an invoice's page."""
        return f"/i/{self.desk.context.vault.page_token(self.desk.invoice(reference).id)}"

    async def look(self, reference: str = REFERENCE, language: str = "en") -> str:
        """Open the page; return it as text."""
        headers = {"Accept-Language": language}
        answer = await self.client.get(self.path(reference), headers=headers)
        assert answer.status_code == 200, answer.text
        return answer.text


@asynccontextmanager
async def visiting(database: Database, **environment: str) -> AsyncIterator[Visitor]:
    """Open the pages of one service."""
    desk = a_desk(database, **environment)
    desk.context.wake.bind()
    app = Starlette(routes=page_routes(desk.context))
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url=BASE_URL) as client:
        yield Visitor(desk, client)


def a_line(name: str, amount_minor: int, **more: Any) -> dict[str, Any]:
    """Return an invoice's line without tax."""
    line = {
        "name": name,
        "id": name,
        "totalAmount": amount_minor,
        "totalAmountExcludingTax": amount_minor,
        "totalTaxAmount": 0,
        "taxRate": 0,
    }
    return line | more
