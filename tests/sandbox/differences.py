"""Where the sandbox knowingly says what Vipps's OpenAPI files do not, and why.

The same table stands in docs/sandbox.md, held to this one by a test.
"""

from typing import NamedTuple

ANY = "any operation"
WEBHOOK = "webhook"
_DOCS = "developer.vippsmobilepay.com/docs"
_GATEWAY = f"{_DOCS}/knowledge-base/errors"
_EPAYMENT = f"{_DOCS}/APIs/epayment-api/api-guide/errors"
_CHANGES = f"{_DOCS}/APIs/epayment-api/CHANGELOG"
_TOOLKIT = "github.com/vippsas/agent-toolkit"
_ONE = "/epayment/v1/payments/{reference}"


class Difference(NamedTuple):
    """One status or one field that an operation answers beyond its file."""

    operation: str
    what: str
    why: str
    source: str


DIFFERENCES = (
    Difference(ANY, "401", "the gateway's own shape; no file has it", _GATEWAY),
    Difference(ANY, "413", "larger than anything Vipps takes", "ours"),
    Difference(ANY, "429", "the gateway's own shape; no file has it", _GATEWAY),
    Difference(ANY, "500", "chaos; any API may fail", _GATEWAY),
    Difference(ANY, "503", "chaos; any API may fail", _GATEWAY),
    Difference(ANY, "504", "chaos; a gateway that lost patience, no body", "ours"),
    Difference(ANY, "instance", "refusals have it in all examples, not in the file", _EPAYMENT),
    Difference(f"GET {_ONE}", "404", "an unknown reference has to be said", _EPAYMENT),
    Difference(f"GET {_ONE}/events", "404", "an unknown reference has to be said", _EPAYMENT),
    Difference(f"GET {_ONE}", "captureGuaranteedUntil", "newer than file 1.8.1", _CHANGES),
    Difference(WEBHOOK, "captureGuaranteedUntil", "newer than file 1.8.1", _CHANGES),
    Difference(f"POST {_ONE}/capture", "423", "locked while the customer approves", _EPAYMENT),
    Difference(f"POST {_ONE}/refund", "423", "locked while the customer approves", _EPAYMENT),
    Difference(f"POST {_ONE}/cancel", "423", "6250, while the customer approves", _EPAYMENT),
    Difference(
        "POST /epayment/v1/test/payments/{reference}/approve",
        "400",
        "codes 10010 and 10020; the file has 200 only",
        _EPAYMENT,
    ),
    Difference(
        "POST /epayment/v1/test/payments/{reference}/approve",
        "404",
        "an unknown reference has to be said",
        _EPAYMENT,
    ),
    Difference(
        "POST /epayment/v1/test/payments/{reference}/approve",
        "500",
        "an expired card, by the amount 186",
        f"{_TOOLKIT}, test-and-go-live",
    ),
    Difference("POST /order-management/v1/images", "400", "a bad image has to be said", "ours"),
    Difference(
        "POST /order-management/v1/images",
        "409",
        "images cannot be overwritten",
        f"{_TOOLKIT}, order-management",
    ),
    Difference(
        "DELETE /webhooks/v1/webhooks/{id}", "404", "nothing to delete has to be said", "ours"
    ),
    Difference(
        "GET /vipps-userinfo-api/userinfo/{sub}",
        "phone_number",
        "the file demands 15 digits, its own example has 10; or `[Expired]`",
        f"{_TOOLKIT}, userinfo",
    ),
    Difference(
        "GET /vipps-userinfo-api/userinfo/{sub}",
        "nin",
        "`[Expired]` after a week is no number",
        f"{_TOOLKIT}, userinfo",
    ),
    Difference(
        "GET /vipps-userinfo-api/userinfo/{sub}",
        "phone_number_verified",
        "told, though the file has only `email_verified`",
        f"{_TOOLKIT}, userinfo",
    ),
)


def is_known(operation: str, what: str) -> bool:
    """Say whether the table has this, for that operation or for any."""
    return any(d.what == what and d.operation in (operation, ANY) for d in DIFFERENCES)


def is_gateways(status: str) -> bool:
    """Say whether the gateway in front of the APIs may answer so itself."""
    return any(d.what == status and d.operation == ANY for d in DIFFERENCES)
