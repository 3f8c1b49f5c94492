"""The body of a request for payment, and how long the payment may live; pure.

Source: ePayment OpenAPI 1.8.1, `CreatePaymentRequest`; contract, sections 2 and 5.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

UserFlow = Literal["PUSH_MESSAGE", "WEB_REDIRECT"]

# The payment's metadata at Vipps has one pair, by which a payment that we find is known as ours.
METADATA_KEY = "betalbar"

# Clocks differ: a payment that ends a minute early never outlives what merchant or Vipps allow.
EXPIRY_CUT_S = 60
# Vipps demands more than ten minutes; with the cut, eleven must be left. Without an expiry Vipps
# ends a payment after ten minutes by itself.
LEFT_S_MIN = 660
_LIFE_MIN = timedelta(minutes=10)

AMOUNT_MINOR_MAX = 65_000_000
# The currencies of our merchants; Norway's least amount is one krone.
AMOUNT_MINOR_MIN: Mapping[str, int] = {"NOK": 100, "DKK": 1, "EUR": 1}

_REFERENCE = re.compile(r"[a-zA-Z0-9-]{8,64}")
_PHONE_NUMBER = re.compile(r"[0-9]{9,15}")
_DESCRIPTION_LENGTHS = range(3, 101)
_RETURN_URL_LENGTH_MAX = 2500
# What Vipps knows of a line; a merchant's own members stay here.
_LINE_MEMBERS = frozenset(
    (
        "name",
        "id",
        "totalAmount",
        "totalAmountExcludingTax",
        "totalTaxAmount",
        "taxRate",
        "unitInfo",
        "discount",
        "productUrl",
        "isReturn",
        "isShipping",
    )
)


@dataclass(frozen=True, slots=True)
class PaymentRequest:
    """Everything Vipps is told of one payment; personal data stays out of `repr`.

    `phone_number` is MSISDN digits. `order_lines` are the merchant's, in Vipps's own names
    (contract, section 6). `scope` asks the customer to share, such as `phoneNumber`. Raises:
    ValueError, naming the field and never its value, for what Vipps would refuse at once.
    """

    reference: str
    amount_minor: int
    currency: str
    user_flow: UserFlow
    description: str
    return_url: str
    page_url: str
    invoice_id: str
    phone_number: str | None = field(default=None, repr=False)
    expires_at: datetime | None = None
    order_lines: tuple[Mapping[str, object], ...] = field(default=(), repr=False)
    scope: str | None = None

    def __post_init__(self) -> None:
        """Check every limit."""
        wrong = [name for name, is_right in self._checks().items() if not is_right]
        if wrong:
            raise ValueError(f"not as Vipps takes it: {', '.join(wrong)}")

    def _checks(self) -> dict[str, bool]:
        is_push = self.user_flow == "PUSH_MESSAGE"
        number = self.phone_number
        lowest = AMOUNT_MINOR_MIN.get(self.currency, 0)
        return {
            "reference": _REFERENCE.fullmatch(self.reference) is not None,
            "currency": self.currency in AMOUNT_MINOR_MIN,
            "amount_minor": lowest <= self.amount_minor <= AMOUNT_MINOR_MAX,
            "description": len(self.description) in _DESCRIPTION_LENGTHS,
            "return_url": 0 < len(self.return_url) <= _RETURN_URL_LENGTH_MAX,
            # A push goes to a number; a link may go to anyone.
            "phone_number": not is_push if number is None else _is_phone_number(number),
            # Long lives are for requests that wait in the app (facts, section 1).
            "expires_at": is_push or self.expires_at is None,
            # Who is asked in the app is known already; asking again could fail the payment.
            "scope": not is_push or self.scope is None,
        }


def _is_phone_number(text: str) -> bool:
    return _PHONE_NUMBER.fullmatch(text) is not None


def create_payment_body(request: PaymentRequest) -> dict[str, object]:
    """Return the body of `POST /epayment/v1/payments`; the same request gives the same body.

    It always has a receipt: a payment with an expiry is refused without one (6130), and nobody
    should have to pay for what they can't read."""
    body: dict[str, object] = {
        "amount": {"currency": request.currency, "value": request.amount_minor},
        "paymentMethod": {"type": "WALLET"},
        "reference": request.reference,
        "userFlow": request.user_flow,
        "returnUrl": request.return_url,
        "paymentDescription": request.description,
        "receipt": {
            "orderLines": _order_lines(request),
            "bottomLine": {"currency": request.currency},
        },
        "metadata": {METADATA_KEY: request.invoice_id},
    }
    if request.phone_number is not None:
        body["customer"] = {"phoneNumber": request.phone_number}
    if request.expires_at is not None:
        body["expiresAt"] = _rfc3339(request.expires_at)
    if request.scope is not None:
        body["profile"] = {"scope": request.scope}
    return body


def expires_too_soon(body: Mapping[str, object], now: datetime) -> bool:
    """Tell whether Vipps would refuse a body because its `expiresAt`, which it has, is too near."""
    return datetime.fromisoformat(str(body["expiresAt"])) - now <= _LIFE_MIN


def modification_body(amount_minor: int, currency: str) -> dict[str, object]:
    """Return the body that captures, or refunds, so much."""
    return {"modificationAmount": {"currency": currency, "value": amount_minor}}


def payment_expires_at(
    now: datetime, payable_until: datetime, max_lifetime_s: int
) -> datetime | None:
    """Return when a payment made now shall end, or None for Vipps's own ten minutes.

    A whole second, at or just after 60 s inside the nearer limit. Raises: ValueError, where
    `payable_until` is not ahead."""
    if now >= payable_until:
        raise ValueError("no payment is made past payable_until")
    limit = min(payable_until, now + timedelta(seconds=max_lifetime_s))
    if limit - now <= timedelta(seconds=LEFT_S_MIN):
        return None
    # Rounded up: a payment that ends before `payable_until` less the cut counts as postponed, not
    # as expired (contract, section 4). Guarded by test_expiry_with_fractions_ends_inside_the_cut.
    return _whole_second_after(limit - timedelta(seconds=EXPIRY_CUT_S))


def _whole_second_after(at: datetime) -> datetime:
    return at.replace(microsecond=0) + timedelta(seconds=math.ceil(at.microsecond / 1_000_000))


def _rfc3339(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _order_lines(request: PaymentRequest) -> list[dict[str, object]]:
    if not request.order_lines:
        return [_only_line(request)]
    return [_line(line, request.page_url) for line in request.order_lines]


def _line(line: Mapping[str, object], page_url: str) -> dict[str, object]:
    # Long-living payments need a `productUrl` on each line in Norway (facts, section 1); the
    # invoice page shows the lines, so it stands in where the merchant has no page of the product.
    known = {name: value for name, value in line.items() if name in _LINE_MEMBERS}
    return {"productUrl": page_url} | {n: v for n, v in known.items() if v is not None}


def _only_line(request: PaymentRequest) -> dict[str, object]:
    return {
        "name": request.description,
        "id": request.reference,
        "totalAmount": request.amount_minor,
        "totalAmountExcludingTax": request.amount_minor,
        "totalTaxAmount": 0,
        "taxRate": 0,
        "productUrl": request.page_url,
    }
