"""Every way the sandbox says no, in the shapes Vipps uses.

SandboxError        never raised itself
+-- Denied          said by the gateway before an API is reached
+-- Refused         said by an API, with a domain code or naming the fields
"""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, NamedTuple


class SandboxError(Exception):
    """The sandbox says no."""


class Denied(SandboxError):
    """The gateway in front of the APIs turned the request away.

    Azure API Management answers 401 and 429 itself, in its own shape.
    Source: developer.vippsmobilepay.com/docs/knowledge-base/errors/
    """

    def __init__(self, status: int, message: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.retry_after_s = retry_after_s

    def as_json(self) -> dict[str, Any]:
        """Return the gateway's body."""
        return {"statusCode": self.status, "message": self.message}


class Fault(NamedTuple):
    """Name a field and say what is wrong with it."""

    name: str
    reason: str


class Refused(SandboxError):
    """An API turned the request away; `code` is None where fields are named instead."""

    def __init__(self, status: int, title: str, *, detail: str, faults: Sequence[Fault]) -> None:
        super().__init__(title)
        self.status = status
        self.title = title
        self.detail = detail
        self.faults = tuple(faults)

    @property
    def code(self) -> str | None:
        """Return the domain code."""
        return next((f.reason for f in self.faults if f.name == "ErrorCode"), None)

    def as_problem(self, instance: str, trace_id: str) -> dict[str, Any]:
        """Return the RFC 7807 body of the ePayment and Webhooks APIs."""
        return {
            "type": f"https://httpstatuses.io/{self.status}",
            "title": self.title,
            "detail": self.detail,
            "status": self.status,
            "instance": instance,
            "traceId": trace_id,
            "extraDetails": [fault._asdict() for fault in self.faults],
        }

    def as_order_problem(self, trace_id: str) -> dict[str, Any]:
        """Return the body of Order Management, which has a shape of its own."""
        return {
            "type": f"https://httpstatuses.io/{self.status}",
            "title": self.title,
            "detail": self.detail,
            "instance": trace_id,
            "invalidParams": [fault._asdict() for fault in self.faults],
        }


# Code -> HTTP status, title. Titles as in the documentation of autumn 2026. Which status
# goes with which code is documented only in part: 403 is "the sales unit lacks the product
# or permission", 409 an idempotency or reference conflict, 423 "locked by a concurrent
# operation", and the one full example (6080) is a 400.
# Source: developer.vippsmobilepay.com/docs/APIs/epayment-api/api-guide/errors/
CATALOGUE: dict[int, tuple[int, str]] = {
    4010: (409, "Capture idempotency conflict"),
    4020: (409, "Idempotency error"),
    4040: (400, "Invalid amount"),
    4070: (400, "Invalid phone number"),
    4080: (400, "Invalid scope"),
    4090: (400, "Invalid URL"),
    4100: (400, "Metadata capacity exceeded"),
    4110: (400, "Metadata duplicate keys not allowed"),
    4120: (400, "Metadata key length exceeded"),
    4130: (400, "Metadata value length exceeded"),
    4140: (400, "Missing required parameter"),
    4150: (409, "Reference exists, or refund idempotency conflict"),
    5010: (400, "Blocking sources not applicable"),
    5020: (403, "Express payment not allowed"),
    5030: (403, "Illegal scope"),
    5040: (400, "Invalid currency for merchant"),
    5050: (403, "Long-living payment not allowed"),
    5070: (403, "Payment cannot be created"),
    5080: (403, "PUSH_MESSAGE not allowed"),
    5090: (404, "Reference not found"),
    6010: (400, "Amount too small"),
    6020: (400, "Attempted refund before reservation"),
    6030: (400, "Cancel period expired"),
    6040: (400, "Cannot cancel a captured payment"),
    6050: (400, "Cannot cancel a non-reserved payment"),
    6060: (400, "Cannot cancel authorized payment"),
    6070: (400, "Cannot capture a cancelled payment"),
    6080: (400, "Cannot capture before reservation"),
    6090: (400, "Capture amount too high"),
    6100: (400, "Capture period expired"),
    6110: (400, "Expiration date is too late"),
    6120: (400, "Expiration date is too soon"),
    6130: (400, "Long living payments require a receipt"),
    6140: (400, "Must capture full amount"),
    6150: (400, "Not enough refundable"),
    6160: (423, "Order processing"),
    6170: (400, "Payment already captured"),
    6180: (400, "Payment already refunded"),
    6190: (400, "Payment cannot be cancelled"),
    6200: (400, "Payment cannot be captured"),
    6210: (400, "Payment cannot be refunded"),
    6220: (400, "Refund period expired"),
    6230: (400, "Payment is already reserved"),
    6250: (423, "Cannot cancel processing payment"),
    6260: (400, "Funds unavailable"),
    6280: (400, "Capture failed, please try again later"),
    7010: (400, "Customer not found"),
    10010: (400, "Approve failed"),
    10020: (400, "Approve not allowed"),
}


def refusal(code: int, detail: str = "") -> Refused:
    """Return the documented refusal of that code."""
    status, title = CATALOGUE[code]
    faults = [Fault("ErrorCode", str(code))]
    return Refused(status, title, detail=detail or title, faults=faults)


def bad_fields(faults: Sequence[Fault]) -> Refused:
    """Return the refusal that names fields and carries no domain code."""
    detail = "See extraDetails for further details"
    return Refused(400, "Bad Request", detail=detail, faults=faults)


def plain(status: int, detail: str) -> Refused:
    """Return a refusal with neither code nor field."""
    return Refused(status, HTTPStatus(status).phrase, detail=detail, faults=())
