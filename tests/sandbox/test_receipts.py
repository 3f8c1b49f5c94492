"""The receipt that long-living payments need."""

from typing import Any

import pytest

from tests.sandbox.harness import Merchant, a_payment, a_receipt, code_of


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ({"name": None}, "receipt.orderLines[0].name"),
        ({"totalAmount": -1}, "receipt.orderLines[0].totalAmount"),
        ({"totalTaxAmount": "1"}, "receipt.orderLines[0].totalTaxAmount"),
        ({"taxRate": None}, "receipt.orderLines[0].taxRate"),
        ({"taxRate": 10_001}, "receipt.orderLines[0].taxRate"),
        ({"taxPercentage": 25}, "receipt.orderLines[0].taxRate"),
        ({"discount": -1}, "receipt.orderLines[0].discount"),
        ({"isReturn": "no"}, "receipt.orderLines[0].isReturn"),
        ({"unitInfo": {"unitPrice": 1}}, "receipt.orderLines[0].unitInfo.quantity"),
        ({"unitInfo": {"quantity": "1"}}, "receipt.orderLines[0].unitInfo.unitPrice"),
    ],
)
def test_create_with_a_bad_receipt_line_names_the_field(
    merchant: Merchant, line: dict[str, Any], field: str
) -> None:
    """Each line of the receipt is checked."""
    receipt = a_receipt()
    receipt["orderLines"][0] |= line

    assert code_of(merchant.create(a_payment(receipt=receipt))) == field


@pytest.mark.parametrize(
    ("receipt", "field"),
    [
        ({"orderLines": [], "bottomLine": {"currency": "NOK"}}, "receipt.orderLines"),
        ({"orderLines": ["x"], "bottomLine": {"currency": "NOK"}}, "receipt.orderLines[0]"),
        ({"orderLines": a_receipt()["orderLines"]}, "receipt.bottomLine"),
        (
            {"orderLines": a_receipt()["orderLines"], "bottomLine": {}},
            "receipt.bottomLine.currency",
        ),
        ("a receipt", "receipt"),
    ],
)
def test_create_with_a_bad_receipt_names_the_part(
    merchant: Merchant, receipt: object, field: str
) -> None:
    """A receipt needs lines, and a currency on its bottom line."""
    assert code_of(merchant.create(a_payment(receipt=receipt))) == field
