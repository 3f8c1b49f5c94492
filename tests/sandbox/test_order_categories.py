"""Order Management: categories by id, and images."""

import base64
import struct
from typing import Any

import httpx
import pytest

from tests.sandbox.harness import OTHER_MSN, Merchant

ROOT = "/order-management/v3/categories"
CATEGORY = {
    "orderId": "invoice-0001",
    "paymentType": "ECOM",
    "type": "GENERAL",
    "url": "https://shop.example/i/token",
}


def png(height: int) -> bytes:
    """Return the beginning of a picture of that height."""
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 200, height) + b"rest"


def jpeg(height: int) -> bytes:
    """Return the beginning of a picture of that height, with a table before its frame."""
    table = b"\xff\xdb" + struct.pack(">H", 4) + b"ab"
    return b"\xff\xd8" + table + b"\xff\xc0" + struct.pack(">HBHH", 17, 8, height, 200) + b"rest"


def upload(merchant: Merchant, content: bytes, **changes: Any) -> httpx.Response:
    """Upload a picture."""
    src = base64.b64encode(content).decode()
    body = {"imageId": "socks-1", "src": src, "type": "base64"} | changes
    return merchant.call("POST", "/order-management/v1/images", body=body)


def test_category_by_id_is_the_orders_own(merchant: Merchant) -> None:
    """Both kinds of calls tell of the same category."""
    made = merchant.call("POST", ROOT, body=CATEGORY)
    path = f"{ROOT}/{made.json()['categoryId']}"

    shown = merchant.call("GET", path).json()
    listed = merchant.call("GET", f"{ROOT}?orderId=invoice-0001").json()["categories"]
    older = merchant.call("GET", "/order-management/v2/ecom/invoice-0001").json()

    assert made.status_code == 201
    assert listed == [shown]
    assert shown == CATEGORY | {"categoryId": made.json()["categoryId"]}
    assert older["category"]["orderDetailsUrl"] == CATEGORY["url"]
    assert [merchant.call("DELETE", path).status_code for _ in range(2)] == [200, 404]


def test_category_by_id_is_seen_by_its_sales_unit_only(merchant: Merchant) -> None:
    """Each sales unit sees its own."""
    made = merchant.call("POST", ROOT, body=CATEGORY | {"imageId": "socks-1"}).json()
    merchant.msn = OTHER_MSN

    assert merchant.call("GET", f"{ROOT}/{made['categoryId']}").status_code == 404


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"orderId": "a b"}, "orderId"),
        ({"paymentType": "CASH"}, "paymentType"),
        ({"type": None}, "type"),
        ({"url": "http://shop.example"}, "url"),
    ],
)
def test_category_with_a_bad_field_names_it(
    merchant: Merchant, changes: dict[str, Any], name: str
) -> None:
    """Fields are called as this call calls them."""
    answer = merchant.call("POST", ROOT, body=CATEGORY | changes)

    assert [param["name"] for param in answer.json()["invalidParams"]] == [name]


def test_category_without_an_order_cannot_be_looked_up(merchant: Merchant) -> None:
    """There is no list of all."""
    assert merchant.call("GET", ROOT).status_code == 400


@pytest.mark.parametrize("content", [png(167), jpeg(200)])
def test_image_is_written_once(merchant: Merchant, content: bytes) -> None:
    """An image cannot be replaced; a new one needs a new id."""
    answers = [upload(merchant, content), upload(merchant, content)]

    assert [answer.status_code for answer in answers] == [200, 409]
    assert answers[0].json() == {"imageId": "socks-1"}
    assert upload(merchant, content, imageId="socks-2").status_code == 200


@pytest.mark.parametrize(
    ("content", "changes", "name"),
    [
        (png(166), {}, "src"),
        (jpeg(166), {}, "src"),
        (b"GIF89a", {}, "src"),
        (png(200) + b"x" * 2_000_000, {}, "src"),
        (png(200), {"src": "not base64!"}, "src"),
        (png(200), {"src": 5}, "src"),
        (png(200), {"type": "url"}, "type"),
        (png(200), {"imageId": "a b"}, "imageId"),
    ],
)
def test_image_that_vipps_would_not_show_is_refused(
    merchant: Merchant, content: bytes, changes: dict[str, Any], name: str
) -> None:
    """PNG or JPEG, at least 167 pixels high and at most 2 MB."""
    answer = upload(merchant, content, **changes)

    assert answer.status_code == 400
    assert [param["name"] for param in answer.json()["invalidParams"]] == [name]
