"""What Vipps demands of a create request, in the order it is checked.

First the fields by themselves (400 naming each), then the rules with domain codes.
Fields nobody knows are accepted, as Vipps does.
"""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from service.sandbox.fields import Faults, is_https_or_custom, is_text, is_web_url, is_whole
from service.sandbox.problems import refusal
from service.sandbox.receipts import check_receipt
from service.sandbox.sales_units import CURRENCIES, SalesUnit

AMOUNT_MAX_MINOR = 65_000_000
# Ten minutes is both the default life of a payment and the least `expiresAt` may add.
DEFAULT_LIFETIME = timedelta(minutes=10)

_AMOUNT_MIN_MINOR = {"NOK": 100}
_REFERENCE = re.compile(r"[a-zA-Z0-9-]{8,64}")
_PHONE_NUMBER = re.compile(r"\d{9,15}", re.ASCII)
_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_METHODS = ("WALLET", "CARD", "CARD_PASSTHROUGH")
_FLOWS = ("PUSH_MESSAGE", "NATIVE_REDIRECT", "WEB_REDIRECT", "QR")
_CUSTOMER_KEYS = ("phoneNumber", "personalQr", "customerToken")
_SCOPES = frozenset(("name", "address", "email", "phoneNumber", "birthDate", "nin"))
_QR_FORMATS = ("TEXT/TARGETURL", "IMAGE/SVG+XML", "IMAGE/PNG")
_ALL_CURRENCIES = (*CURRENCIES, "SEK", "USD", "GBP")
_IS_NO_VALUE = f"Must be an integer from 0 to {AMOUNT_MAX_MINOR}."
_IS_NO_CURRENCY = f"Must be one of {list(_ALL_CURRENCIES)}."
_IS_NO_METHOD = f"Must be one of {list(_METHODS)}."


def check_creation(body: Mapping[str, Any], unit: SalesUnit, *, now: datetime) -> datetime:
    """Pass if Vipps would make this payment; return when it expires. Raises: Refused."""
    _check_fields(body)
    _check_amount(body["amount"], unit)
    _check_method(body)
    _check_flow(body, unit)
    _check_customer(body.get("customer"))
    _check_urls(body)
    _check_scope(body, unit)
    _check_metadata(body.get("metadata"))
    return _expiry(body, unit, now=now)


def check_amount_fields(amount: object, name: str, *, faults: Faults) -> None:
    """Note what is wrong with an amount object."""
    if not isinstance(amount, dict):
        faults.expect(False, name, reason="Must be an object with value and currency.")
        return
    value = amount.get("value")
    fits = is_whole(value) and 0 <= value <= AMOUNT_MAX_MINOR
    faults.expect(fits, f"{name}.value", reason=_IS_NO_VALUE)
    fits = amount.get("currency") in _ALL_CURRENCIES
    faults.expect(fits, f"{name}.currency", reason=_IS_NO_CURRENCY)


def _check_fields(body: Mapping[str, Any]) -> None:
    faults = Faults()
    faults.required(body, ("amount", "paymentMethod", "reference", "userFlow"))
    if body.get("amount") is not None:
        check_amount_fields(body["amount"], "amount", faults=faults)
    if body.get("reference") is not None:
        reason = "The field Reference must match the regular expression '^[a-zA-Z0-9-]{8,64}$'."
        faults.expect(is_text(body["reference"], _REFERENCE), "reference", reason=reason)
    faults.one_of(body, "userFlow", choices=_FLOWS)
    faults.one_of(body, "customerInteraction", choices=("CUSTOMER_PRESENT", "CUSTOMER_NOT_PRESENT"))
    faults.text(body, "paymentDescription", least=3, most=100)
    faults.text(body, "returnUrl", least=1, most=2500)
    faults.whole(body, "minimumUserAge", least=0, most=100)
    _check_objects(body, faults)
    faults.settle()


def _check_objects(body: Mapping[str, Any], faults: Faults) -> None:
    names = ("paymentMethod", "customer", "profile", "metadata", "qrFormat")
    for name in names:
        fits = body.get(name) is None or isinstance(body[name], dict)
        faults.expect(fits, name, reason="Must be an object.")
    if isinstance(method := body.get("paymentMethod"), dict):
        fits = method.get("type") in _METHODS
        faults.expect(fits, "paymentMethod.type", reason=_IS_NO_METHOD)
    if isinstance(qr_format := body.get("qrFormat"), dict):
        faults.required(qr_format, ("format",), within="qrFormat.")
        faults.one_of(qr_format, "format", choices=_QR_FORMATS)
        faults.whole(qr_format, "size", least=100, most=2000)
    if isinstance(metadata := body.get("metadata"), dict):
        fits = all(isinstance(value, str) for value in metadata.values())
        faults.expect(fits, "metadata", reason="All values must be text.")
    if body.get("receipt") is not None:
        check_receipt(body["receipt"], faults)
    # The documentation allows order lines or a URL, never both.
    both = body.get("receipt") is not None and body.get("receiptUrl") is not None
    faults.expect(not both, "receiptUrl", reason="Set either receipt or receiptUrl, not both.")
    _check_expiry_field(body, faults)


def _check_expiry_field(body: Mapping[str, Any], faults: Faults) -> None:
    expires_at = body.get("expiresAt")
    if expires_at is None:
        return
    fits = is_text(expires_at, _INSTANT) and _instant(expires_at) is not None
    faults.expect(fits, "expiresAt", reason="Must be an RFC 3339 instant with an offset.")
    # The spec of 2026 dropped this sentence of its forerunner; the careful reading keeps it.
    flow = body.get("userFlow")
    reason = f"ExpiresAt not allowed for flow {flow}."
    faults.expect(flow in ("PUSH_MESSAGE", "QR", None), "expiresAt", reason=reason)
    method = body.get("paymentMethod")
    is_wallet = isinstance(method, dict) and method.get("type") == "WALLET"
    faults.expect(is_wallet, "expiresAt", reason="ExpiresAt needs a WALLET payment.")


def _check_amount(amount: Mapping[str, Any], unit: SalesUnit) -> None:
    currency = amount["currency"]
    if currency not in CURRENCIES or unit.currency not in (None, currency):
        raise refusal(5040)
    if amount["value"] < _AMOUNT_MIN_MINOR.get(currency, 1):
        raise refusal(6010)


def _check_method(body: Mapping[str, Any]) -> None:
    method = body["paymentMethod"]
    if method["type"] == "CARD_PASSTHROUGH":
        raise refusal(5070, "CARD_PASSTHROUGH is for payment service providers only.")
    if method["type"] == "CARD" and body["userFlow"] != "WEB_REDIRECT":
        raise refusal(5070, "CARD has to be combined with WEB_REDIRECT.")
    if method.get("blockedSources") and body["amount"]["currency"] == "NOK":
        raise refusal(5010)
    if body.get("shipping") is not None:
        raise refusal(5020)


def _check_flow(body: Mapping[str, Any], unit: SalesUnit) -> None:
    flow = body["userFlow"]
    if flow == "PUSH_MESSAGE" and not body.get("customer"):
        raise refusal(4140, "PUSH_MESSAGE requires customer.")
    if flow == "PUSH_MESSAGE" and not unit.may_push:
        raise refusal(5080)
    if flow == "WEB_REDIRECT" and not body.get("returnUrl"):
        raise refusal(4140, "WEB_REDIRECT requires returnUrl.")


def _check_customer(customer: Mapping[str, Any] | None) -> None:
    if customer is None:
        return
    named = [key for key in _CUSTOMER_KEYS if customer.get(key) is not None]
    if len(named) != 1:
        faults = Faults()
        reason = f"Exactly one of {list(_CUSTOMER_KEYS)} must be set."
        faults.expect(False, "customer", reason=reason)
        faults.settle()
    if named == ["phoneNumber"] and not is_text(customer["phoneNumber"], _PHONE_NUMBER):
        raise refusal(4070, "MSISDN as text: country code and number, digits only.")


def _check_urls(body: Mapping[str, Any]) -> None:
    for name in ("returnUrl", "receiptUrl"):
        url = body.get(name)
        if url is not None and not is_web_url(url, allows_scheme=is_https_or_custom):
            raise refusal(4090, f"{name} must use https or a custom scheme.")


def _check_scope(body: Mapping[str, Any], unit: SalesUnit) -> None:
    scope = (body.get("profile") or {}).get("scope")
    if scope is None:
        return
    if not isinstance(scope, str) or not set(scope.split()) <= _SCOPES:
        raise refusal(4080)
    if "nin" in scope.split() and not unit.may_ask_nin:
        raise refusal(5030)


def _check_metadata(metadata: Mapping[str, str] | None) -> None:
    if metadata is None:
        return
    if len(metadata) > 5:
        raise refusal(4100)
    if any(len(key) > 100 for key in metadata):
        raise refusal(4120)
    if any(len(value) > 500 for value in metadata.values()):
        raise refusal(4130)


def _expiry(body: Mapping[str, Any], unit: SalesUnit, *, now: datetime) -> datetime:
    expires_at = None if body.get("expiresAt") is None else _instant(body["expiresAt"])
    if expires_at is None:
        return now + DEFAULT_LIFETIME
    if not unit.may_live_long:
        raise refusal(5050)
    if expires_at <= now + DEFAULT_LIFETIME:
        raise refusal(6120)
    if expires_at >= now + unit.lifetime_max(body["amount"]["currency"]):
        raise refusal(6110)
    if body.get("receipt") is None:
        raise refusal(6130)
    return expires_at


def _instant(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text.upper())
    except ValueError:
        return None
