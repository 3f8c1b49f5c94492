"""What the app is called, and coloured, where the sales unit is."""

from dataclasses import dataclass
from datetime import date

# Vipps in Norway (and Sweden, where no sales unit of ours is); MobilePay in Denmark and Finland.
_MOBILEPAY = frozenset(("DKK", "EUR"))


@dataclass(frozen=True, slots=True)
class Brand:
    """One name of the app; `id` chooses its colours and its words."""

    id: str
    name: str


VIPPS = Brand("vipps", "Vipps")
MOBILEPAY = Brand("mobilepay", "MobilePay")


def brand_of(currency: str, today: date, mobilepay_until: date) -> Brand:
    """Return the app's brand in the currency's country on a day.

    MobilePay is called Vipps from `mobilepay_until` on (facts, section 7)."""
    is_mobilepay = currency in _MOBILEPAY and today < mobilepay_until
    return MOBILEPAY if is_mobilepay else VIPPS
