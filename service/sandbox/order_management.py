"""The Order Management API, as far as ePayment's merchants use it.

Whether the payment exists is not checked, before or after: a typo succeeds silently.
Source: developer.vippsmobilepay.com/docs/APIs/order-management-api
"""

import re
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response
from starlette.routing import Route

from service.sandbox.calls import Call, json_response
from service.sandbox.fields import Faults, is_https_or_custom, is_text, is_web_url
from service.sandbox.gate import ORDER_SHAPE, Gate, check_headers
from service.sandbox.payments import payment_key
from service.sandbox.problems import plain
from service.sandbox.receipts import check_receipt

_ROOT = "/order-management/v2/{payment_type}"
_ORDER_ID = re.compile(r"[0-9A-Za-z\-_.]+")
IMAGE_ID = re.compile(r"[0-9A-Za-z\-_.]{1,128}")
_CATEGORIES = ("GENERAL", "RECEIPT", "ORDER_CONFIRMATION", "DELIVERY", "TICKET", "BOOKING")
# The spec has capitals, the guides and plugins send lower case; both work.
PAYMENT_TYPES = ("ecom", "recurring")
_SYSTEM_HEADER_MAX = 100


class OrderManagementApi:
    """Answer the calls of the Order Management API."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._world = gate.world

    def routes(self) -> list[Route]:
        """Return the routes, none of which catches more than its own path."""
        listed = [
            (f"{_ROOT}/categories/{{order_id}}", "PUT", self._put_category),
            (f"{_ROOT}/receipts/{{order_id}}", "POST", self._post_receipt),
            (f"{_ROOT}/{{order_id}}", "GET", self._get),
        ]
        return [
            self._gate.route(path, method, handle=handle, shape=ORDER_SHAPE)
            for path, method, handle in listed
        ]

    def _put_category(self, call: Call) -> Response:
        name = _order_name(call)
        category = call.json_object()
        check_category(category)
        self._world.save(self._world.categories, name, row=category)
        return json_response(self._world.ids.uuid())

    def _post_receipt(self, call: Call) -> Response:
        name, faults = _order_name(call), Faults()
        receipt = call.json_object()
        check_receipt(receipt, faults)
        faults.settle()
        if self._receipt(call, name) is not None:
            raise plain(409, "A receipt is written once and cannot be changed.")
        self._world.save(self._world.receipts, name, row=receipt)
        return json_response(self._world.ids.uuid(), 201)

    def _get(self, call: Call) -> Response:
        name = _order_name(call)
        parts = {"category": self._world.categories.get(name), "receipt": self._receipt(call, name)}
        found = {part: value for part, value in parts.items() if value is not None}
        if not found:
            raise plain(404, "There is no such order.")
        return json_response(found)

    def _receipt(self, call: Call, name: str) -> dict[str, Any] | None:
        # The receipt of a create request can be read here, and only here.
        payment = self._world.payments.get(payment_key(call.msn, call.params["order_id"]))
        created: dict[str, Any] | None = payment.request.get("receipt") if payment else None
        return self._world.receipts.get(name) or created


def order_name(msn: str, order_id: str, *, payment_type: str = "ecom") -> str:
    """Name an order's details."""
    return f"{payment_type}/{msn}/{order_id}"


def check_order_headers(call: Call) -> None:
    """Pass if the headers are well formed. Raises: Refused."""
    check_headers(call, system_max=_SYSTEM_HEADER_MAX)


def check_order_id(order_id: object, faults: Faults) -> None:
    """Note if this cannot be an order's id."""
    reason = r"The field orderId must match the regular expression '^[0-9A-Za-z-_\.]+$'."
    faults.expect(is_text(order_id, _ORDER_ID), "orderId", reason=reason)


def check_category(body: Mapping[str, Any], *, names: Mapping[str, str] | None = None) -> None:
    """Pass if Vipps would take this category; `names` are its fields' as sent.

    Raises: Refused.
    """
    faults, sent = Faults(), names or {}
    for field in ("category", "orderDetailsUrl"):
        name = sent.get(field, field)
        faults.expect(body.get(field) is not None, name, reason=f"The {name} field is required.")
    category, url, image_id = (body.get(n) for n in ("category", "orderDetailsUrl", "imageId"))
    fits = category is None or category in _CATEGORIES
    reason = f"Must be one of {list(_CATEGORIES)}."
    faults.expect(fits, sent.get("category", "category"), reason=reason)
    fits = url is None or is_web_url(url, allows_scheme=is_https_or_custom)
    reason = "Must be an absolute https URL."
    faults.expect(fits, sent.get("orderDetailsUrl", "orderDetailsUrl"), reason=reason)
    fits = image_id is None or is_text(image_id, IMAGE_ID)
    faults.expect(fits, "imageId", reason="Must be 1 to 128 of letters, digits and -_.")
    faults.settle()


def _order_name(call: Call) -> str:
    check_order_headers(call)
    faults = Faults()
    payment_type, order_id = call.params["payment_type"].lower(), call.params["order_id"]
    fits = payment_type in PAYMENT_TYPES
    faults.expect(fits, "paymentType", reason="Must be ECOM or RECURRING.")
    check_order_id(order_id, faults)
    faults.settle()
    return order_name(call.msn, order_id, payment_type=payment_type)
