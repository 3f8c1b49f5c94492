"""Order Management: the link and the receipt that the app shows."""

from typing import Any

import pytest

from tests.sandbox.harness import OTHER_MSN, Merchant, a_payment, a_receipt

ROOT = "/order-management/v2/ecom"
CATEGORY = {"category": "GENERAL", "orderDetailsUrl": "https://shop.example/i/token"}


def test_category_is_replaced_and_needs_no_payment(merchant: Merchant) -> None:
    """The last link wins; whether the payment exists is not checked."""
    for page in ("a", "b"):
        body = CATEGORY | {"orderDetailsUrl": f"https://shop.example/{page}"}
        answer = merchant.call("PUT", f"{ROOT}/categories/no_such.payment", body=body)
        assert answer.status_code == 200

    found = merchant.call("GET", f"{ROOT}/no_such.payment").json()
    assert found == {"category": body}


def test_receipt_is_written_once(merchant: Merchant) -> None:
    """A receipt cannot be changed, whether it came here or with the payment."""
    merchant.create(a_payment("invoice-0002", receipt=a_receipt()))

    answers = [
        merchant.call("POST", f"{ROOT}/receipts/invoice-0001", body=a_receipt()),
        merchant.call("POST", f"{ROOT}/receipts/invoice-0001", body=a_receipt()),
        merchant.call("POST", f"{ROOT}/receipts/invoice-0002", body=a_receipt()),
    ]

    assert [answer.status_code for answer in answers] == [201, 409, 409]


@pytest.mark.parametrize(
    ("kind", "status"),
    [("ecom", 200), ("ECOM", 200), ("Ecom", 200), ("recurring", 200), ("cash", 400)],
)
def test_payment_type_in_any_case_is_known(merchant: Merchant, kind: str, status: int) -> None:
    """The spec has capitals, everybody sends small letters; both work."""
    path = f"/order-management/v2/{kind}/categories/invoice-0001"

    assert merchant.call("PUT", path, body=CATEGORY).status_code == status


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"category": "OTHER"}, "category"),
        ({"category": None}, "category"),
        ({"orderDetailsUrl": ""}, "orderDetailsUrl"),
        ({"orderDetailsUrl": "http://shop.example"}, "orderDetailsUrl"),
        ({"imageId": "a b"}, "imageId"),
    ],
)
def test_category_with_a_bad_field_names_it_in_its_own_shape(
    merchant: Merchant, changes: dict[str, Any], name: str
) -> None:
    """Order Management says no in `invalidParams`, unlike the other APIs."""
    path = f"{ROOT}/categories/invoice-0001"

    answer = merchant.call("PUT", path, body=CATEGORY | changes)

    assert answer.status_code == 400
    assert [param["name"] for param in answer.json()["invalidParams"]] == [name]
    assert "traceId" not in answer.json()


def test_receipt_with_a_bad_field_names_it(merchant: Merchant) -> None:
    """Receipts are checked as those of a payment."""
    body = a_receipt() | {"bottomLine": {}}

    answer = merchant.call("POST", f"{ROOT}/receipts/invoice-0001", body=body)

    assert answer.json()["invalidParams"][0]["name"] == "receipt.bottomLine.currency"


def test_order_of_another_sales_unit_is_not_found(merchant: Merchant) -> None:
    """Each sales unit sees its own orders only."""
    merchant.call("PUT", f"{ROOT}/categories/invoice-0001", body=CATEGORY)
    merchant.msn = OTHER_MSN

    assert merchant.call("GET", f"{ROOT}/invoice-0001").status_code == 404


def test_order_without_a_token_is_refused(merchant: Merchant) -> None:
    """Order Management needs the same keys as the rest."""
    assert merchant.client.get(f"{ROOT}/invoice-0001").status_code == 401
