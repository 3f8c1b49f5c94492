"""What happened to the money of one payment, in minor units (øre or cent)."""

from collections.abc import Mapping
from dataclasses import dataclass
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
        match _SUM_OF_EVENT[event_name]:
            case "authorized":
                more = (amount_minor, 0, 0, 0)
            case "captured":
                more = (0, amount_minor, 0, 0)
            case "refunded":
                more = (0, 0, amount_minor, 0)
            case "cancelled":
                more = (0, 0, 0, amount_minor)
            case _:
                return self
        return Amounts(
            self.authorized + more[0],
            self.captured + more[1],
            self.refunded + more[2],
            self.cancelled + more[3],
        )


NO_MONEY = Amounts()
"""The sums of a payment that nothing has happened to."""
