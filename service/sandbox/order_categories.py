"""The newer calls of Order Management: categories with an id of their own, and images.

An order has one category, the last one given, whichever call gave it.
Source: developer.vippsmobilepay.com/docs/APIs/order-management-api
"""

import base64
import binascii
import struct
from typing import Any

from starlette.responses import Response
from starlette.routing import Route

from service.sandbox.calls import Call, json_response
from service.sandbox.fields import Faults, is_text
from service.sandbox.gate import ORDER_SHAPE, Gate
from service.sandbox.ids import derived_uuid
from service.sandbox.order_management import (
    IMAGE_ID,
    PAYMENT_TYPES,
    check_category,
    check_order_headers,
    check_order_id,
    order_name,
)
from service.sandbox.problems import plain

_IMAGE_BYTES_MAX = 2_000_000
_IMAGE_HEIGHT_MIN = 167
_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8"


class OrderCategoriesApi:
    """Answer the calls about categories by id, and about images."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._world = gate.world

    def routes(self) -> list[Route]:
        """Return the routes, none of which catches more than its own path."""
        root = "/order-management/v3/categories"
        listed = [
            (root, "POST", self._post),
            (root, "GET", self._query),
            (f"{root}/{{category_id}}", "GET", self._get),
            (f"{root}/{{category_id}}", "DELETE", self._delete),
            ("/order-management/v1/images", "POST", self._post_image),
        ]
        return [
            self._gate.route(path, method, handle=handle, shape=ORDER_SHAPE)
            for path, method, handle in listed
        ]

    def _post(self, call: Call) -> Response:
        check_order_headers(call)
        body = call.json_object()
        _check_order(body)
        # The older calls have other names for the same.
        renamed = {"type": "category", "url": "orderDetailsUrl", "imageId": "imageId"}
        category = {old: body[new] for new, old in renamed.items() if body.get(new) is not None}
        check_category(category, names={old: new for new, old in renamed.items()})
        payment_type = body["paymentType"].lower()
        name = order_name(call.msn, body["orderId"], payment_type=payment_type)
        self._world.save(self._world.categories, name, row=category)
        return json_response({"categoryId": category_id(name)}, 201)

    def _query(self, call: Call) -> Response:
        check_order_headers(call)
        order_id, faults = call.query.get("orderId"), Faults()
        check_order_id(order_id, faults)
        faults.settle()
        names = [order_name(call.msn, str(order_id), payment_type=kind) for kind in PAYMENT_TYPES]
        found = [(name, self._world.categories.get(name)) for name in names]
        shown = [_shown(name, category) for name, category in found if category is not None]
        return json_response({"categories": shown})

    def _get(self, call: Call) -> Response:
        name, category = self._find(call)
        return json_response(_shown(name, category))

    def _delete(self, call: Call) -> Response:
        name, _ = self._find(call)
        transaction = self._world.store.begin()
        transaction.delete(self._world.categories, name)
        transaction.commit()
        return Response(status_code=200)

    def _find(self, call: Call) -> tuple[str, dict[str, Any]]:
        check_order_headers(call)
        wanted = call.params["category_id"].lower()
        # Asked for by hand and seldom, so no index is kept for it.
        for name, category in self._world.categories.rows.items():
            if category_id(name) == wanted and name.split("/")[1] == call.msn:
                return name, category
        raise plain(404, "There is no such category.")

    def _post_image(self, call: Call) -> Response:
        check_order_headers(call)
        body = call.json_object()
        image_bytes = _check_image(body)
        name = f"{call.msn}/{body['imageId']}"
        if self._world.images.get(name) is not None:
            raise plain(409, "An image is written once and cannot be changed.")
        # Nobody ever reads an image back; that it is there is all there is to keep.
        self._world.save(self._world.images, name, row={"bytes": len(image_bytes)})
        return json_response({"imageId": body["imageId"]})


def category_id(name: str) -> str:
    """Return the id of an order's category."""
    return derived_uuid("category", name)


def _shown(name: str, category: dict[str, Any]) -> dict[str, Any]:
    payment_type, _, order_id = name.split("/", 2)
    shown = {
        "categoryId": category_id(name),
        "orderId": order_id,
        "paymentType": payment_type.upper(),
        "type": category["category"],
        "url": category["orderDetailsUrl"],
    }
    return shown | ({"imageId": category["imageId"]} if category.get("imageId") else {})


def _check_order(body: dict[str, Any]) -> None:
    faults = Faults()
    check_order_id(body.get("orderId"), faults)
    payment_type = body.get("paymentType")
    fits = isinstance(payment_type, str) and payment_type.lower() in PAYMENT_TYPES
    faults.expect(fits, "paymentType", reason="Must be ECOM or RECURRING.")
    faults.settle()


def _check_image(body: dict[str, Any]) -> bytes:
    faults = Faults()
    fits = is_text(body.get("imageId"), IMAGE_ID)
    faults.expect(fits, "imageId", reason="Must be 1 to 128 of letters, digits and -_.")
    faults.expect(body.get("type") == "base64", "type", reason="Must be base64.")
    content = _decoded(body.get("src"))
    reason = "Must be a PNG or JPEG in base64, of at most 2 MB."
    if faults.expect(0 < len(content) <= _IMAGE_BYTES_MAX, "src", reason=reason):
        reason = f"Must be a PNG or JPEG at least {_IMAGE_HEIGHT_MIN} pixels high."
        faults.expect(_height(content) >= _IMAGE_HEIGHT_MIN, "src", reason=reason)
    faults.settle()
    return content


def _decoded(src: object) -> bytes:
    if not isinstance(src, str) or not src.isascii():
        return b""
    try:
        return base64.b64decode(src, validate=True)
    except binascii.Error:
        return b""


def _height(image: bytes) -> int:
    """Return the height in pixels, or 0 where this is neither PNG nor JPEG."""
    if image.startswith(_PNG) and len(image) >= 24:
        return int(struct.unpack_from(">I", image, 20)[0])
    return _jpeg_height(image) if image.startswith(_JPEG) else 0


def _jpeg_height(image: bytes) -> int:
    at = 2
    while at + 9 <= len(image) and image[at] == 0xFF:
        marker, size = image[at + 1], int(struct.unpack_from(">H", image, at + 2)[0])
        # The frame headers, without the three among them that are tables.
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return int(struct.unpack_from(">H", image, at + 5)[0])
        at += 2 + size
    return 0
