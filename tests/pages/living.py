"""A service with its sandbox, listening; a merchant who bills, and a customer with a phone."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from playwright.sync_api import Page

from service.app import create_app
from service.context import Context
from service.settings import load_settings
from tests.flows.client import Api
from tests.flows.processes import HTTP, eventually
from tests.quick import PromptServer

API_KEY = "a-key-of-the-tests-of-pages"
_REFERENCES = count(1)
_NUMBERS = count(4_791_000_001)


@dataclass
class Living:
    """One running service."""

    url: str
    api: Api
    context: Context
    _numbers: "count[int]" = field(default_factory=lambda: _NUMBERS)

    def bill(self, **changes: Any) -> tuple[str, str]:
        """Make an invoice by link; return its reference and its page's address."""
        reference = f"story-{next(_REFERENCES):06}"
        body = {
            "reference": reference,
            "amount": {"currency": "NOK", "value": 49_900},
            "description": "Windows, May",
            "flow": "WEB_REDIRECT",
        } | changes
        answer = self.api.call("POST", "/v1/invoices?wait=10", body)
        assert answer.status_code == 201, answer.text
        return reference, str(answer.json()["pageUrl"])

    def add_document(self, reference: str, pdf: bytes) -> None:
        """Add the merchant's own PDF to an invoice."""
        headers = {"Authorization": f"Bearer {self.api.key}", "Content-Type": "application/pdf"}
        path = f"{self.url}/v1/invoices/{reference}/document"
        answer = HTTP.put(path, content=pdf, headers=headers)
        assert answer.status_code == 200, answer.text

    def ask(self, **changes: Any) -> tuple[str, str]:
        """Send an invoice to the app of somebody new."""
        customer = {"phoneNumber": self.number()}
        return self.bill(**{"flow": "PUSH_MESSAGE", "customer": customer} | changes)

    def number(self) -> str:
        """Return the phone number of somebody new."""
        return str(next(self._numbers))

    def history(self, reference: str) -> list[str]:
        """Return an invoice's transitions as `trigger by source`."""
        return [f"{t['trigger']} by {t['source']}" for t in self.api.history(reference)]

    def at_vipps(self, reference: str) -> dict[str, Any]:
        """Return a payment as the sandbox has it."""
        found: dict[str, Any] = HTTP.get(f"{self.url}/sandbox/payments/{reference}").json()
        return found

    def act(self, name: str, reference: str) -> None:
        """Do something as the customer, elsewhere than in the browser; when it can be done."""
        path = f"{self.url}/sandbox/payments/{reference}/{name}"
        eventually(lambda: HTTP.post(path, json={}).status_code == 200, what=name)

    def advance(self, seconds: int) -> None:
        """Turn the clock ahead."""
        body = {"advanceSeconds": seconds}
        assert HTTP.post(f"{self.url}/sandbox/clock", json=body).status_code == 200

    def lose_webhooks(self, share: float) -> None:
        """Have so many webhooks never arrive."""
        assert HTTP.put(f"{self.url}/sandbox/chaos", json={"lose": share}).status_code == 200


@contextmanager
def living(folder: Path, **environment: str) -> Iterator[Living]:
    """Serve a service with its built-in sandbox, with business and real time of its own."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        port = listener.getsockname()[1]
        given = {
            "DATABASE_URL": f"sqlite:///{folder / 'betalbar.db'}",
            "PORT": str(port),
            "API_KEY": API_KEY,
            "MERCHANT_NAME": "Fjord Window Care",
        } | environment
        settings = load_settings({f"BETALBAR_{name}": text for name, text in given.items()})
        app = create_app(settings)
        config = uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=1)
        server = PromptServer(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            url = settings.base_url
            eventually(lambda: _is_ready(url), what="ready")
            yield Living(url, Api([url], API_KEY), app.state.context)
        finally:
            server.should_exit = True
            thread.join()


def _is_ready(url: str) -> bool:
    try:
        ready = HTTP.get(f"{url}/readyz")
        hooks = HTTP.get(f"{url}/sandbox/registrations")
    except httpx.TransportError:
        return False
    return ready.status_code == 200 and (hooks.status_code != 200 or bool(hooks.json()["items"]))


def pay_on_phone(page: Page, number: str, *, shares: bool | None = None) -> None:
    """Go the whole way at Vipps, from its landing page back; `shares`: what is said if asked."""
    page.get_by_label("Your phone number").fill(f"+{number}")
    page.get_by_role("button", name="Continue on the phone").click()
    page.get_by_role("button", name="Pay").first.click()
    if shares is not None:
        page.get_by_role("button", name="Share and pay" if shares else "Don't share").click()
