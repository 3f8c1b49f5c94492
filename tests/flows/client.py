"""A merchant's system and a customer's phone, over HTTP."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from uuid import uuid4

import httpx

from tests.event_contract import check_event
from tests.flows.processes import HTTP, Late, eventually

Json = dict[str, Any]

# Far beyond any restart, also on a machine that is busy with other tests.
ACKNOWLEDGED_WITHIN_S = 120.0
_PAUSE_S = 0.1
# What a client repeats with the same Idempotency-Key: nothing is known of the first one.
_UNCLEAR = frozenset((500, 502, 503, 504))


@dataclass
class Api:
    """The merchant API, at any of the service's processes."""

    urls: Sequence[str]
    key: str
    http: httpx.Client = HTTP
    _turn: "count[int]" = field(default_factory=count)

    def call(
        self, method: str, path: str, body: object = None, *, key: str | None = None
    ) -> httpx.Response:
        """Ask until it is acknowledged, by whichever process; always with one Idempotency-Key.

        Raises: Late."""
        headers = {"Authorization": f"Bearer {self.key}"}
        if method != "GET":
            headers["Idempotency-Key"] = key or uuid4().hex
        give_up_at = time.monotonic() + ACKNOWLEDGED_WITHIN_S
        last = ""
        while time.monotonic() < give_up_at:
            url = self.urls[next(self._turn) % len(self.urls)] + path
            try:
                answer = self.http.request(method, url, json=body, headers=headers)
            except httpx.TransportError as error:
                last = repr(error)
                time.sleep(_PAUSE_S)
                continue
            last = f"{answer.status_code} {answer.text}"
            if answer.status_code not in _UNCLEAR and not _is_under_way(answer):
                return answer
            time.sleep(_PAUSE_S)
        raise Late(f"{method} {path} was not acknowledged: {last}")

    def get(self, path: str) -> Json:
        """Return what is there, which must be something."""
        answer = self.call("GET", path)
        assert answer.status_code == 200, answer.text
        found: Json = answer.json()
        return found

    def create(self, reference: str, *, wait_s: int = 0, **changes: Any) -> Json:
        """Send an invoice, and return it."""
        answer = self.call("POST", f"/v1/invoices?wait={wait_s}", an_invoice(reference, **changes))
        assert answer.status_code == 201, answer.text
        made: Json = answer.json()
        return made

    def invoice(self, reference: str) -> Json:
        """Return one invoice."""
        return self.get(f"/v1/invoices/{reference}")

    def act(
        self, reference: str, name: str, body: Json | None = None, *, wait_s: int = 0
    ) -> httpx.Response:
        """Ask for something to be done to it."""
        return self.call("POST", f"/v1/invoices/{reference}/{name}?wait={wait_s}", body or {})

    def reaches(self, reference: str, state: str, *, within_s: float = 30.0) -> Json:
        """Return the invoice once it is in that state. Raises: Late."""

        def look() -> Json | None:
            found = self.invoice(reference)
            assert found["state"] == state, (found["state"], found["problem"])
            return found

        found = eventually(look, within_s=within_s, what=f"{reference} {state}")
        assert found is not None
        return found

    def history(self, reference: str) -> list[Json]:
        """Return an invoice's transitions."""
        items: list[Json] = self.get(f"/v1/invoices/{reference}/transitions?limit=200")["items"]
        return items

    def feed(self) -> list[Json]:
        """Return the whole feed, read page by page."""
        events: list[Json] = []
        cursor = "_first"
        while True:
            page = self.get(f"/v1/events?limit=200&cursor={cursor}")
            events += page["items"]
            cursor = page["cursor"]
            if page["tryLater"]:
                for event in events:
                    check_event(event)
                return events


def _is_under_way(answer: httpx.Response) -> bool:
    return answer.status_code == 409 and answer.json().get("code") == "request_in_progress"


@dataclass(frozen=True)
class Phone:
    """What customers do, and what really happened at Vipps: the sandbox's own API."""

    url: str

    def act(self, name: str, reference: str, body: Json | None = None) -> int:
        """Do something with a payment; return the status."""
        path = f"{self.url}/sandbox/payments/{reference}/{name}"
        return HTTP.post(path, json=body or {}).status_code

    def approve(self, reference: str) -> None:
        """Approve, as soon as the request is there."""
        eventually(lambda: self.act("approve", reference) == 200, what=f"{reference} approved")

    def reject(self, reference: str) -> None:
        """Say no, as soon as the request is there."""
        eventually(lambda: self.act("reject", reference) == 200, what=f"{reference} rejected")

    def set_chaos(self, **plan: float) -> None:
        """Have things go wrong from now on; nothing = calm."""
        answer = HTTP.put(f"{self.url}/sandbox/chaos", json=plan)
        assert answer.status_code == 200, answer.text

    def advance(self, seconds: int) -> None:
        """Turn Vipps's clock ahead."""
        body = {"advanceSeconds": seconds}
        answer = HTTP.post(f"{self.url}/sandbox/clock", json=body)
        assert answer.status_code == 200, answer.text

    def payments(self) -> dict[str, Json]:
        """Return every payment by its reference."""
        items = HTTP.get(f"{self.url}/sandbox/payments").json()["items"]
        return {item["reference"]: item for item in items}

    def effects(self, reference: str | None = None) -> list[Json]:
        """Return the ledger of what really happened, oldest first."""
        found: list[Json] = []
        while items := self._effects_after(found[-1]["sequence"] if found else 0):
            found += items
        return [i for i in found if reference in (None, i["reference"]) and i["success"]]

    def _effects_after(self, sequence: int) -> list[Json]:
        items: list[Json] = HTTP.get(f"{self.url}/sandbox/effects?after={sequence}").json()["items"]
        return items


def an_invoice(reference: str, **changes: Any) -> Json:
    """Return the body of an invoice; a change to None leaves the member out."""
    body = {
        "reference": reference,
        "amount": {"currency": "NOK", "value": 20_000},
        "customer": {"phoneNumber": "4798765432", "name": "Canary Nordmann"},
        "description": "Invoice 123",
    } | changes
    return {name: value for name, value in body.items() if value is not None}


def a_name(prefix: str) -> str:
    """Return a reference that no other test has."""
    return f"{prefix}-{uuid4().hex[:12]}"
