"""What each operation's examples need to be there before they can be sent."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import httpx

from tests.flows.processes import eventually
from tests.service.cli.test_serving import Served

Json = dict[str, Any]

_PDF = b"%PDF-1.7\n%%EOF\n"
_WAIT = {"wait": "20"}


@dataclass(slots=True)
class Stage:
    """A merchant's system, and the sandbox's customer."""

    client: httpx.Client
    _numbers: "count[int]" = field(default_factory=lambda: count(1))

    def invoice(self, state: str) -> str:
        """Make an invoice, and return its reference once it is in this state."""
        reference = f"story-invoice-{next(self._numbers)}"
        body = {
            "reference": reference,
            "amount": {"currency": "NOK", "value": 200_000},
            "customer": {"phoneNumber": f"479{next(self._numbers):07}"},
            "push": state != "created",
        }
        self._post("/v1/invoices", body, _WAIT)
        if state in ("authorized", "captured"):
            self._post(f"/sandbox/payments/{reference}/approve", None)
            self._reaches(reference, "authorized")
        if state == "captured":
            self._post(f"/v1/invoices/{reference}/capture", {}, _WAIT)
            self._reaches(reference, "captured")
        return reference

    def customer(self) -> str:
        """Add a customer who agreed some weeks ago, and return the id."""
        body = {
            "phoneNumber": f"458{next(self._numbers):07}",
            "consent": {"grantedAt": "2026-11-01T08:00:00Z", "source": "checkout"},
        }
        return str(self._post("/v1/customers", body)["id"])

    def subscription(self) -> str:
        """Subscribe, and return the id."""
        body = {"url": "https://shop.example/in", "eventTypes": ["*"]}
        return str(self._post("/v1/subscriptions", body)["id"])

    def delivery(self) -> str:
        """Subscribe, and return the id of the ping."""
        subscription = self.subscription()
        deliveries = self.client.get(f"/v1/subscriptions/{subscription}/deliveries").json()
        return str(deliveries["items"][0]["id"])

    def _post(self, path: str, body: Any, params: Mapping[str, str] | None = None) -> Json:
        answer = self.client.post(path, json=body, params=params)
        assert answer.is_success, answer.text
        made: Json = answer.json() if answer.content else {}
        return made

    def _reaches(self, reference: str, state: str) -> None:
        path = f"/v1/invoices/{reference}"
        eventually(lambda: self.client.get(path).json()["state"] == state, what=state)


def stage_of(service: Served) -> Stage:
    """Return a merchant's system with the service's key."""
    headers = {"Authorization": f"Bearer {service.key}"}
    return Stage(httpx.Client(base_url=service.url, headers=headers, timeout=60))


def _invoice(state: str) -> Callable[[Stage], Mapping[str, str]]:
    return lambda stage: {"reference": stage.invoice(state)}


def _nothing(_: Stage) -> Mapping[str, str]:
    return {}


# What stands in the path, by operation; made anew for each example that changes something.
NEEDS: Mapping[str, Callable[[Stage], Mapping[str, str]]] = {
    "putDocument": _invoice("created"),
    "pushInvoice": _invoice("created"),
    "softDismissInvoice": _invoice("pushed"),
    "captureInvoice": _invoice("authorized"),
    "refundInvoice": _invoice("captured"),
    "cancelInvoice": _invoice("pushed"),
    "markPaidElsewhere": _invoice("pushed"),
    **{
        name: _invoice("pushed")
        for name in ("getInvoice", "listTransitions", "getEvidence", "getQrSvg", "getQrPng")
    },
    **{
        name: lambda stage: {"id": stage.customer()}
        for name in ("getCustomer", "changeCustomer", "eraseCustomer")
    },
    **{
        name: lambda stage: {"id": stage.subscription()}
        for name in (
            "getSubscription",
            "changeSubscription",
            "deleteSubscription",
            "rotateSecret",
            "testSubscription",
            "replayEvents",
            "listDeliveries",
        )
    },
    "redeliver": lambda stage: {"id": stage.delivery()},
}

# Bodies that no document can carry.
FILES: Mapping[str, bytes] = {"application/pdf": _PDF}


def needs(name: str) -> Callable[[Stage], Mapping[str, str]]:
    """Return what makes ready for an operation."""
    return NEEDS.get(name, _nothing)
