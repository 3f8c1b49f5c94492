"""What a receipt must hold, the same for ePayment and Order Management."""

import re
from typing import Any

from service.sandbox.fields import Faults, is_text, is_whole

_QUANTITY = re.compile(r"\d+([\.]\d{1,8})?")
_UNITS = ("PCS", "KG", "KM", "MINUTE", "LITRE", "KWH")
_CURRENCIES = ("NOK", "DKK", "EUR")
_LINE_TOTALS = ("totalAmount", "totalAmountExcludingTax", "totalTaxAmount")
_BARCODES = ("EAN-13", "CODE 39", "CODE 128")
_AMOUNT_MAX = 2**63 - 1


def check_receipt(receipt: object, faults: Faults) -> None:
    """Note everything that is wrong with the receipt.

    Sums are not compared: Vipps computes them from the lines and dropped its checks of
    2022; its own example has wrong tax arithmetic. Negative lines are `isReturn`.
    """
    if not isinstance(receipt, dict):
        faults.expect(False, "receipt", reason="Must be an object.")
        return
    lines = receipt.get("orderLines")
    has_lines = isinstance(lines, list) and len(lines) >= 1
    if faults.expect(has_lines, "receipt.orderLines", reason="Must hold at least one line."):
        for number, line in enumerate(lines or []):
            _check_line(line, f"receipt.orderLines[{number}]", faults=faults)
    _check_bottom_line(receipt.get("bottomLine"), faults)


def _check_line(line: Any, name: str, *, faults: Faults) -> None:
    if not faults.expect(isinstance(line, dict), name, reason="Must be an object."):
        return
    for field in ("name", "id"):
        has_text = isinstance(line.get(field), str) and line[field] != ""
        faults.expect(has_text, f"{name}.{field}", reason="Must be text.")
    for field in _LINE_TOTALS:
        value = line.get(field)
        fits = is_whole(value) and 0 <= value <= _AMOUNT_MAX
        faults.expect(fits, f"{name}.{field}", reason="Must be a non-negative integer.")
    _check_tax(line, name, faults=faults)
    _check_unit(line.get("unitInfo"), f"{name}.unitInfo", faults=faults)
    discount = line.get("discount")
    fits = discount is None or (is_whole(discount) and discount >= 0)
    faults.expect(fits, f"{name}.discount", reason="Must be a non-negative integer.")
    for field in ("isReturn", "isShipping"):
        fits = line.get(field) is None or isinstance(line[field], bool)
        faults.expect(fits, f"{name}.{field}", reason="Must be true or false.")


def _check_tax(line: dict[str, Any], name: str, *, faults: Faults) -> None:
    rate, percentage = line.get("taxRate"), line.get("taxPercentage")
    has_one = (rate is None) != (percentage is None)
    reason = "Either taxRate or taxPercentage must be set."
    if not faults.expect(has_one, f"{name}.taxRate", reason=reason):
        return
    value, most = (rate, 10_000) if percentage is None else (percentage, 100)
    fits = is_whole(value) and 0 <= value <= most
    faults.expect(fits, f"{name}.taxRate", reason=f"Must be an integer from 0 to {most}.")


def _check_unit(unit: Any, name: str, *, faults: Faults) -> None:
    if unit is None:
        return
    if not faults.expect(isinstance(unit, dict), name, reason="Must be an object."):
        return
    price, quantity = unit.get("unitPrice"), unit.get("quantity")
    fits = price is None or (is_whole(price) and price >= 0)
    faults.expect(
        fits and "unitPrice" in unit, f"{name}.unitPrice", reason="Must be a non-negative integer."
    )
    fits = is_text(quantity, _QUANTITY) and len(str(quantity)) <= 10
    faults.expect(fits, f"{name}.quantity", reason="Must be text like 0.822.")
    fits = unit.get("quantityUnit") is None or unit["quantityUnit"] in _UNITS
    faults.expect(fits, f"{name}.quantityUnit", reason=f"Must be one of {list(_UNITS)}.")


def _check_bottom_line(line: Any, faults: Faults) -> None:
    name = "receipt.bottomLine"
    if not faults.expect(isinstance(line, dict), name, reason="The bottomLine is required."):
        return
    fits = line.get("currency") in _CURRENCIES
    faults.expect(fits, f"{name}.currency", reason=f"Must be one of {list(_CURRENCIES)}.")
    tip = line.get("tipAmount")
    fits = tip is None or (is_whole(tip) and tip >= 0)
    faults.expect(fits, f"{name}.tipAmount", reason="Must be a non-negative integer.")
    barcode = line.get("barcode")
    fits = barcode is None or (isinstance(barcode, dict) and barcode.get("format") in _BARCODES)
    faults.expect(fits, f"{name}.barcode", reason=f"The format must be one of {list(_BARCODES)}.")
