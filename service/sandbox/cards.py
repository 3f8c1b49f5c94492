"""What the customer pays with, and the amounts that Vipps's test environment makes fail.

Source: developer.vippsmobilepay.com/docs/knowledge-base/reserve-and-capture and
/docs/knowledge-base/test-environment.
"""

from datetime import datetime, timedelta
from typing import NamedTuple

# How long the card's network holds the money; None means as long as the market allows.
CARDS: dict[str, timedelta | None] = {
    "VISA": timedelta(days=7),
    "VISA_ELECTRON": timedelta(days=5),
    "MASTERCARD": timedelta(days=30),
    "BANKAXEPT": timedelta(days=7),
    "ACCOUNT": None,
}
DEFAULT_CARD = "VISA"

# How long a capture may be tried at all.
CAPTURE_WINDOW = {"NOK": timedelta(days=180)}
CAPTURE_WINDOW_ELSEWHERE = timedelta(days=14)


class Decline(NamedTuple):
    """Why a card gives no money."""

    reason: str
    is_norwegian: bool = False


# The amount in minor units -> what becomes of an approval.
DECLINES = {
    151: Decline("Insufficient funds"),
    182: Decline("Refused by issuer"),
    183: Decline("Suspected fraud"),
    184: Decline("Withdrawal limit exceeded"),
    186: Decline("Expired card"),
    187: Decline("Invalid card"),
    197: Decline("3-D Secure denied", is_norwegian=True),
    202: Decline("Strong customer authentication required", is_norwegian=True),
}
EXPIRED_CARD_MINOR = 186
UNKNOWN_FOR_A_WHILE_MINOR = 201
UNKNOWN_FOR = timedelta(hours=1)
# The refund's own amount -> the code of its refusal.
REFUND_REFUSALS = {123: 6210, 124: 6220}


def capture_until(authorized_at: datetime, currency: str) -> datetime:
    """Return when the market's time for a capture is over."""
    return authorized_at + CAPTURE_WINDOW.get(currency, CAPTURE_WINDOW_ELSEWHERE)


def guaranteed_until(card: str, authorized_at: datetime, currency: str) -> datetime:
    """Return until when a capture is sure to succeed: the card's time, or the market's."""
    market_until = capture_until(authorized_at, currency)
    held_for = CARDS[card]
    return market_until if held_for is None else min(authorized_at + held_for, market_until)


def decline_of(amount_minor: int, currency: str) -> str | None:
    """Return why the card will refuse this amount, or None."""
    decline = DECLINES.get(amount_minor)
    if decline is None or (decline.is_norwegian and currency != "NOK"):
        return None
    return decline.reason
