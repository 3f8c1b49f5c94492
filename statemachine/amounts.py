"""What happened to the money of one payment, in minor units (øre or cent)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

# Which sum an event of Vipps adds to. TERMINATED counts as cancelled because Vipps's own
# `aggregate` does: a withdrawn payment answers with `cancelledAmount` = the full amount.
_SUM_OF_EVENT: Mapping[str, str | None] = MappingProxyType(
    {
        "CREATED": None,
        "AUTHORIZED": "authorized",
        "ABORTED": None,
        "EXPIRED": None,
        "TERMINATED": "cancelled",
        "CAPTURED": "captured",
        "CANCELLED": "cancelled",
        "REFUNDED": "refunded",
    }
)


@dataclass(frozen=True, slots=True)
class Amounts:
    """Hold the four sums of Vipps's `aggregate`, all integers in minor units."""

    authorized: int = 0
    captured: int = 0
    refunded: int = 0
    cancelled: int = 0

    @property
    def remaining_to_capture(self) -> int:
        """Return what is reserved and neither taken nor released, never below 0.

        A payment withdrawn before authorization has `cancelled` without `authorized`.
        """
        return max(0, self.authorized - self.captured - self.cancelled)

    @property
    def remaining_to_refund(self) -> int:
        """Return what is taken and not yet given back."""
        return self.captured - self.refunded

    @property
    def is_sound(self) -> bool:
        """Tell whether the sums can be those of an authorized payment.

        0 <= refunded <= captured, 0 <= cancelled, captured + cancelled <= authorized.
        """
        return (
            0 <= self.refunded <= self.captured
            and self.cancelled >= 0
            and self.captured + self.cancelled <= self.authorized
        )

    def plus(self, event_name: str, amount_minor: int) -> "Amounts":
        """Return the sums after one successful Vipps event, e.g. `CAPTURED`.

        CREATED, ABORTED and EXPIRED move no money. Raises: KeyError for a name
        that is not one of Vipps's eight.
        """
        part = _SUM_OF_EVENT[event_name]
        if part is None:
            return self
        return replace(self, **{part: getattr(self, part) + amount_minor})


NO_MONEY = Amounts()
"""The sums of a payment that nothing has happened to."""
