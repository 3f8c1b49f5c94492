"""The demo's stage: a service in a process of its own, and somebody who speaks to it."""

import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console

from service.cli.demo_receiver import Receiver

# Generous: a small machine that compiles its first bytecode needs some seconds.
START_WITHIN_S = 30.0
STEP_WITHIN_S = 20.0
STOP_WITHIN_S = 12.0


class DemoFailed(Exception):
    """Something did not come out as the story has it."""


class Stage:
    """Speaks to one service and its sandbox, and tells what it sees, a line for each step."""

    def __init__(self, http: httpx.Client, receiver: Receiver, console: Console) -> None:
        """Take what is on the stage."""
        self._http = http
        self.receiver = receiver
        self._console = console

    def title(self, text: str) -> None:
        """Begin a scene."""
        self._console.print(f"\n[bold]{text}[/bold]")

    def say(self, who: str, what: str, *, state: str = "") -> None:
        """Tell one step, with the invoice's state beside it."""
        shown = f"  [cyan]{state}[/cyan]" if state else ""
        self._console.print(f"  [dim]{who:>10}[/dim]  {what}{shown}", highlight=False)

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Make one call and return its answer. Raises: DemoFailed, on anything but a 2xx."""
        response = self._http.request(method, path, json=body)
        if not response.is_success:
            raise DemoFailed(f"{method} {path} answered {response.status_code}: {response.text}")
        answer: dict[str, Any] = response.json() if response.content else {}
        return answer

    def invoice(self, reference: str, amount_minor: int, description: str) -> None:
        """Post an invoice as a merchant's system would, and wait until it was asked for."""
        body = {
            "reference": reference,
            "amount": {"currency": "NOK", "value": amount_minor},
            "customer": {"phoneNumber": "4791234567", "name": "Kari Nordmann"},
            "description": description,
        }
        self.call("POST", "/v1/invoices", body)
        kroner = f"{amount_minor // 100},{amount_minor % 100:02d} NOK"
        self.say("merchant", f"posts invoice [bold]{reference}[/bold]: {description}, {kroner}")
        self.expect(reference, "pushed", "Vipps", "asks Kari in the app")

    def act(self, reference: str, action: str, body: dict[str, Any] | None = None) -> None:
        """Ask for one of an invoice's actions."""
        self.call("POST", f"/v1/invoices/{reference}/{action}", body or {})

    def customer(self, payment: str, act: str) -> None:
        """Do in the sandbox what the customer does in the app."""
        self.call("POST", f"/sandbox/payments/{payment}/{act}")

    def expect(self, reference: str, state: str, who: str, what: str) -> dict[str, Any]:
        """Wait for a state, tell it, and return the invoice. Raises: DemoFailed."""
        until = time.monotonic() + STEP_WITHIN_S
        invoice = self.call("GET", f"/v1/invoices/{reference}")
        while invoice["state"] != state and time.monotonic() < until:
            time.sleep(0.05)
            invoice = self.call("GET", f"/v1/invoices/{reference}")
        if invoice["state"] != state:
            raise DemoFailed(f"{reference} is {invoice['state']}, and {state} was expected")
        self.say(who, what, state=state)
        return invoice

    def expect_told(self, reference: str, state: str) -> None:
        """Wait until the subscriber has that event. Raises: DemoFailed."""
        waited_s = self.receiver.wait_for(f"invoice.{state}", reference, within_s=STEP_WITHIN_S)
        if waited_s is None:
            raise DemoFailed(f"invoice.{state} of {reference} did not reach the subscriber")
        self.say("subscriber", f"has invoice.{state}, signature verified")

    def feed(self) -> list[dict[str, Any]]:
        """Return every event of the feed, page by page."""
        events: list[dict[str, Any]] = []
        cursor = "_first"
        while True:
            page = self.call("GET", f"/v1/events?limit=200&cursor={cursor}")
            events += page["items"]
            if not page["items"]:
                return events
            cursor = page["cursor"]


@contextmanager
def staged(folder: Path, console: Console) -> Iterator[Stage]:
    """Start a service in `folder` and a subscriber; stop both at the end. Raises: DemoFailed."""
    key = secrets.token_urlsafe(24)
    port = _free_port()
    receiver = Receiver(_free_port())
    receiver.start()
    headers = {"Authorization": f"Bearer {key}"}
    try:
        with (
            _serving(folder, port, key) as process,
            httpx.Client(
                base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=STEP_WITHIN_S
            ) as http,
        ):
            _wait_until_up(http, process)
            yield Stage(http, receiver, console)
    except DemoFailed as failed:
        raise DemoFailed(f"{failed}\n\nThe service's log:\n{_log_end(folder)}") from failed
    except httpx.HTTPError as error:
        raise DemoFailed(f"the service does not answer: {error!r}\n{_log_end(folder)}") from error
    finally:
        receiver.stop()


@contextmanager
def _serving(folder: Path, port: int, key: str) -> Iterator[subprocess.Popen[bytes]]:
    # Settings of the shell stay out: the demo must not meet a real database or Vipps.
    kept = {k: v for k, v in os.environ.items() if not k.startswith("BETALBAR_")}
    settings = {
        "BETALBAR_DATABASE_URL": f"sqlite:///{folder / 'demo.db'}",
        "BETALBAR_PORT": str(port),
        "BETALBAR_API_KEY": key,
        "BETALBAR_SUBSCRIBER_ALLOW": "127.0.0.0/8",
    }
    with (folder / "service.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "service.cli", "serve"],
            env=kept | settings,
            stdout=log,
            stderr=log,
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_until_up(http: httpx.Client, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + START_WITHIN_S
    while time.monotonic() < until and process.poll() is None:
        try:
            if http.get("/readyz").is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise DemoFailed("the service did not start")


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def _log_end(folder: Path) -> str:
    return "\n".join((folder / "service.log").read_text(errors="replace").splitlines()[-20:])
