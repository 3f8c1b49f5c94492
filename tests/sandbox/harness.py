"""A live sandbox, a merchant that calls it and an address that hears of it."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import uvicorn
from starlette.types import ASGIApp

from service.sandbox import Clock, SandboxProtocol, SandboxSettings, create_app
from service.sandbox.registrations import EVENT_TYPES
from tests.quick import TLS, PromptServer
from tests.sandbox import conformance

WAIT_S = 20.0
MSN = "123456"
OTHER_MSN = "654321"
CALM = SandboxSettings(has_rate_limits=False)

Json = dict[str, Any]


class TurnableClock:
    """Real time that a test may turn ahead, for tokens and rate limits."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def __call__(self) -> datetime:
        """Return the turned time."""
        return datetime.now(UTC) + self.ahead


@contextmanager
def served(app: ASGIApp) -> Iterator[str]:
    """Serve the app on a free port of the loopback; give its URL."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    # Listening before the server runs, so that nobody has to wait for it.
    listener.listen(128)
    config = uvicorn.Config(
        app,
        # As `betalbar sandbox` has it; for any other app it is uvicorn's own.
        http=SandboxProtocol,
        log_level="critical",
        timeout_graceful_shutdown=1,
    )
    server = PromptServer(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


@contextmanager
def sandbox(
    settings: SandboxSettings = CALM, *, real_now: Callable[[], datetime] | None = None
) -> Iterator["Merchant"]:
    """Serve a sandbox; give a merchant who knows its way."""
    clock = Clock() if real_now is None else Clock(real_now)
    with served(create_app(settings, clock=clock)) as url, merchant(url) as caller:
        yield caller


@contextmanager
def merchant(url: str) -> Iterator["Merchant"]:
    """Give a merchant who calls the sandbox at that URL."""
    hooks = {"response": [_check]}
    with httpx.Client(base_url=url, event_hooks=hooks, timeout=WAIT_S, verify=TLS) as client:
        yield Merchant(client)


def _check(answer: httpx.Response) -> None:
    answer.read()
    conformance.check_answer(answer)


@dataclass
class Merchant:
    """Someone with keys; every answer they get is held against Vipps's OpenAPI files."""

    client: httpx.Client
    msn: str = MSN
    token: str | None = None
    keys: dict[str, str] = field(
        default_factory=lambda: {
            "client_id": "a-client",
            "client_secret": "a-secret",
            "Ocp-Apim-Subscription-Key": "a-key",
        }
    )

    def get_token(self) -> httpx.Response:
        """Ask for an access token."""
        headers = self.keys | {"Merchant-Serial-Number": self.msn}
        return self.client.post("/accesstoken/get", headers=headers)

    def headers(self, **more: str) -> dict[str, str]:
        """Return the headers of an API call, with a token fetched once."""
        if self.token is None:
            self.token = self.get_token().json()["access_token"]
        return {
            "Authorization": f"Bearer {self.token}",
            "Ocp-Apim-Subscription-Key": self.keys["Ocp-Apim-Subscription-Key"],
            "Merchant-Serial-Number": self.msn,
        } | more

    def call(
        self, method: str, path: str, *, body: object = None, key: str | None = None
    ) -> httpx.Response:
        """Call an API, with an idempotency key if one is given."""
        headers = self.headers(**({} if key is None else {"Idempotency-Key": key}))
        return self.client.request(method, path, headers=headers, json=body)

    def create(self, body: Json, *, key: str | None = None) -> httpx.Response:
        """Ask for a payment; the key is the reference's unless another is given."""
        key = key or f"create-{body.get('reference')}"[:50]
        return self.call("POST", "/epayment/v1/payments", body=body, key=key)

    def adjust(
        self, operation: str, reference: str, *, value: int, key: str, currency: str = "NOK"
    ) -> httpx.Response:
        """Capture or refund."""
        body = {"modificationAmount": {"currency": currency, "value": value}}
        path = f"/epayment/v1/payments/{reference}/{operation}"
        return self.call("POST", path, body=body, key=key)

    def cancel(
        self, reference: str, *, body: object = None, key: str | None = None
    ) -> httpx.Response:
        """Cancel."""
        path = f"/epayment/v1/payments/{reference}/cancel"
        return self.call("POST", path, body=body, key=key)

    def get(self, reference: str) -> Json:
        """Read a payment."""
        found: Json = self.call("GET", f"/epayment/v1/payments/{reference}").json()
        return found

    def events(self, reference: str) -> list[Json]:
        """Read a payment's event log."""
        found: list[Json] = self.call("GET", f"/epayment/v1/payments/{reference}/events").json()
        return found

    def names(self, reference: str) -> list[str]:
        """Read the names in a payment's event log."""
        return [event["name"] for event in self.events(reference)]

    def act(self, name: str, reference: str, **body: Any) -> httpx.Response:
        """Have the customer do something."""
        named = {"msn": self.msn} | body
        return self.client.post(f"/sandbox/payments/{reference}/{name}", json=named)

    def advance(self, seconds: float) -> None:
        """Turn the business clock."""
        answer = self.client.post("/sandbox/clock", json={"advanceSeconds": seconds})
        assert answer.status_code == 200, answer.text

    def effects(self) -> list[Json]:
        """Read the ledger of what really happened to this sales unit's payments."""
        items: list[Json] = self.client.get("/sandbox/effects").json()["items"]
        return [item for item in items if item["msn"] == self.msn]

    def register(self, url: str, *, events: tuple[str, ...] = EVENT_TYPES) -> Json:
        """Register an address for webhooks."""
        body = {"url": url, "events": list(events)}
        answer = self.call("POST", "/webhooks/v1/webhooks", body=body)
        assert answer.status_code == 201, answer.text
        found: Json = answer.json()
        return found

    def registrations(self) -> list[Json]:
        """List the registrations."""
        found: list[Json] = self.call("GET", "/webhooks/v1/webhooks").json()["webhooks"]
        return found


def a_payment(reference: str = "invoice-0001", **changes: Any) -> Json:
    """Return the body of a pushed payment; a change to None leaves the field out."""
    body = {
        "amount": {"currency": "NOK", "value": 20_000},
        "paymentMethod": {"type": "WALLET"},
        "customer": {"phoneNumber": "4791234567"},
        "reference": reference,
        "userFlow": "PUSH_MESSAGE",
        "paymentDescription": "Invoice 1",
    } | changes
    return {name: value for name, value in body.items() if value is not None}


def a_receipt() -> Json:
    """Return a receipt of one line."""
    line = {
        "name": "Travel insurance",
        "id": "12345",
        "totalAmount": 20_000,
        "totalAmountExcludingTax": 16_000,
        "totalTaxAmount": 4_000,
        "taxRate": 2500,
    }
    return {"orderLines": [line], "bottomLine": {"currency": "NOK"}}


def a_long_payment(reference: str = "invoice-0001", **changes: Any) -> Json:
    """Return the body of a payment that waits in the app for twelve hours."""
    expires_at = (datetime.now(UTC) + timedelta(hours=12)).isoformat()
    return a_payment(reference, **{"expiresAt": expires_at, "receipt": a_receipt()} | changes)


def code_of(answer: httpx.Response) -> str:
    """Return the domain code of a refusal, or the fields it names."""
    return ",".join(
        d["reason"] if d["name"] == "ErrorCode" else d["name"]
        for d in answer.json()["extraDetails"]
    )


def until(is_so: Callable[[], bool]) -> None:
    """Return once it is so, or fail after a while."""
    give_up_at = time.monotonic() + WAIT_S
    while not is_so():
        assert time.monotonic() < give_up_at, f"not so within {WAIT_S} s"
        time.sleep(0.01)


def is_up(port: int) -> bool:
    """Say whether something answers there."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def free_port() -> int:
    """Return a port that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
