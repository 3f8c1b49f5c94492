"""What tests of the phone share: a customer, a shop with pages, and payments on the phone."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count

from playwright.sync_api import Locator, Page
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from tests.sandbox.harness import Json, Merchant, a_long_payment, a_payment, served

_NUMBERS = count(4_790_000_001)


@dataclass
class Customer:
    """Somebody with a phone, and a merchant who may ask them."""

    merchant: Merchant
    number: str

    def url(self, path: str) -> str:
        """Return where that path of the sandbox is."""
        return str(self.merchant.client.base_url).rstrip("/") + path

    @property
    def home(self) -> str:
        """Return where their phone is."""
        return self.url(f"/phone/{self.number}")

    def payment_url(self, reference: str) -> str:
        """Return where a payment is on their phone."""
        return f"{self.home}/payments/{self.merchant.msn}/{reference}"

    def ask(self, body: Json) -> str:
        """Have the merchant ask them for a payment; return its reference."""
        named = {"customer": {"phoneNumber": self.number}} | body
        answer = self.merchant.create(named)
        assert answer.status_code == 201, answer.text
        return str(body["reference"])

    def ask_briefly(self, reference: str = "invoice-0001", **changes: object) -> str:
        """Ask for a payment of ten minutes."""
        return self.ask(a_payment(reference, **self._with_me(changes)))

    def ask_for_long(self, reference: str = "invoice-0001", **changes: object) -> str:
        """Ask for a payment that may be put off."""
        return self.ask(a_long_payment(reference, **self._with_me(changes)))

    def link(self, reference: str = "invoice-0001", **changes: object) -> str:
        """Have the merchant make a payment by link; return the link's path."""
        back = {"returnUrl": "https://shop.example/thanks"}
        redirect = {"userFlow": "WEB_REDIRECT", "customer": None} | back | changes
        answer = self.merchant.create(a_payment(reference, **redirect))
        assert answer.status_code == 201, answer.text
        # The sandbox under test is at another port than its public address says.
        found = re.search(r"/phone/.*", answer.json()["redirectUrl"])
        assert found is not None
        return self.url(found[0])

    def show(self, reference: str, url: str) -> None:
        """Have the merchant put a page behind See details."""
        body = {"category": "GENERAL", "orderDetailsUrl": url}
        path = f"/order-management/v2/ecom/categories/{reference}"
        assert self.merchant.call("PUT", path, body=body).status_code == 200

    def inspect(self, reference: str) -> Json:
        """Return everything the sandbox knows of the payment."""
        path = f"/sandbox/payments/{reference}?msn={self.merchant.msn}"
        found: Json = self.merchant.client.get(path).json()
        return found

    def _with_me(self, changes: dict[str, object]) -> dict[str, object]:
        return {"customer": {"phoneNumber": self.number}} | changes


def a_customer(merchant: Merchant) -> Customer:
    """Return somebody who was never asked before."""
    return Customer(merchant, str(next(_NUMBERS)))


@contextmanager
def shop() -> Iterator[str]:
    """Serve a merchant's own pages; give their address."""

    async def serve(request: Request) -> Response:
        return HTMLResponse(f"<title>Shop</title><h1>Page {request.path_params['name']}</h1>")

    with served(Starlette(routes=[Route("/{name}", serve), Route("/", serve)])) as url:
        yield url


def banner(page: Page) -> Locator:
    """Return what a phone shows of the newest request."""
    return page.get_by_role("link", name=re.compile("asks for"))


def cards(page: Page) -> Locator:
    """Return what waits on the home screen."""
    return page.get_by_role("link", name=re.compile("Requests"))
