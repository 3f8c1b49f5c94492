"""A merchant's endpoint for the demo: a real HTTP server that verifies what it is sent."""

import json
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol

from webhooks import VerificationError, standard

_BODY_BYTES_MAX = 64 * 1024
SECRET_WITHIN_S = 5.0


class Verifier(Protocol):
    """Whatever can tell a genuine webhook from another."""

    def __call__(self, secret: str, headers: dict[str, str], body: bytes) -> bool:
        """Tell whether this secret signed these bytes."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """One verified event, and how many times it has come."""

    event: dict[str, Any]
    times: int = 1


class Receiver:
    """Listens on one port while it is up; remembers every genuine event by its id."""

    def __init__(self, port: int) -> None:
        """Keep the port; nothing listens before `start`."""
        self.url = f"http://127.0.0.1:{port}/betalbar"
        self.secret = ""
        self.forged = 0
        self.verifier_name, self._verify = _verifier()
        self._arrived: dict[str, Arrived] = {}
        self._news = threading.Condition()
        self._port = port
        self._server: ThreadingHTTPServer | None = None

    def start(self) -> None:
        """Listen from now on."""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                size = min(int(self.headers.get("content-length", "0")), _BODY_BYTES_MAX)
                headers = {name.lower(): value for name, value in self.headers.items()}
                self.send_response(receiver.take(headers, self.rfile.read(size)))
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing: the story tells what matters."""

        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        """Listen no more: who connects is refused."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def take(self, headers: dict[str, str], body: bytes) -> int:
        """Verify and remember one request; return the status to answer."""
        with self._news:
            # The ping can be faster than the answer that brings the secret.
            if not self._news.wait_for(lambda: self.secret, timeout=SECRET_WITHIN_S):
                return 503
            if not self._verify(self.secret, headers, body):
                self.forged += 1
                return 401
            known = self._arrived.get(headers["webhook-id"])
            times = known.times + 1 if known else 1
            self._arrived[headers["webhook-id"]] = Arrived(json.loads(body), times)
            self._news.notify_all()
        return 204

    def trust(self, secret: str) -> None:
        """Take the secret that the subscription was made with."""
        with self._news:
            self.secret = secret
            self._news.notify_all()

    def ids(self) -> list[str]:
        """Return the ids of the events that came, pings left out, in their order."""
        with self._news:
            return [i for i, a in self._arrived.items() if a.event["type"] != "test.ping"]

    def wait_for(self, event_type: str, reference: str | None, *, within_s: float) -> float | None:
        """Return the seconds until that event was here, or None if it did not come in time."""
        started = time.monotonic()
        with self._news:
            came = self._news.wait_for(
                lambda: any(_is(a.event, event_type, reference) for a in self._arrived.values()),
                timeout=within_s,
            )
        return time.monotonic() - started if came else None


def _is(event: dict[str, Any], event_type: str, reference: str | None) -> bool:
    if event["type"] != event_type:
        return False
    return reference is None or event["data"]["invoice"]["reference"] == reference


def _verifier() -> tuple[str, Verifier]:
    """Prefer the official package: that ours verifies ours proves little."""
    try:
        from standardwebhooks import Webhook, WebhookVerificationError
    except ImportError:
        return "webhooks.standard", _verify_with_ours

    def verify(secret: str, headers: dict[str, str], body: bytes) -> bool:
        try:
            Webhook(secret).verify(body, headers)
        except WebhookVerificationError:
            return False
        return True

    return "the package standardwebhooks", verify


def _verify_with_ours(secret: str, headers: dict[str, str], body: bytes) -> bool:
    try:
        standard.verify(headers, body, keys=[secret], now=datetime.now(UTC))
    except VerificationError:
        return False
    return True
