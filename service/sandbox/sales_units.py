"""What a sales unit is called, and what Vipps has approved for it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from service.sandbox.fields import Faults

# Norway caps a payment's life at 24 hours, Denmark and Finland at 60 days.
# Source: developer.vippsmobilepay.com/docs/APIs/epayment-api/terms
LIFETIME_MAX = {"NOK": timedelta(hours=24)}
LIFETIME_MAX_ELSEWHERE = timedelta(days=60)

CURRENCIES = ("NOK", "DKK", "EUR")

# API name -> our name.
_NAMES = {
    "name": "name",
    "push": "may_push",
    "longLiving": "may_live_long",
    "partialCapture": "may_capture_in_parts",
    "nin": "may_ask_nin",
    "maxLifetimeSeconds": "max_lifetime_s",
    "currency": "currency",
}


@dataclass(frozen=True, slots=True)
class SalesUnit:
    """A sales unit's name and approvals; None leaves the market's own rule."""

    msn: str
    may_push: bool = True
    may_live_long: bool = True
    may_capture_in_parts: bool = True
    may_ask_nin: bool = False
    max_lifetime_s: int | None = None
    currency: str | None = None
    name: str | None = None

    @property
    def shown_name(self) -> str:
        """Return what customers read on their phone."""
        return self.name or f"Sales unit {self.msn}"

    def lifetime_max(self, currency: str) -> timedelta:
        """Return how far ahead `expiresAt` must stay below."""
        if self.max_lifetime_s is not None:
            return timedelta(seconds=self.max_lifetime_s)
        return LIFETIME_MAX.get(currency, LIFETIME_MAX_ELSEWHERE)


def approvals(unit: SalesUnit) -> dict[str, Any]:
    """Return the name and the approvals by their API names."""
    return {"msn": unit.msn} | {name: getattr(unit, ours) for name, ours in _NAMES.items()}


def with_approvals(unit: SalesUnit, body: Mapping[str, Any]) -> SalesUnit:
    """Return the unit with what the body names changed. Raises: Refused."""
    faults = Faults()
    for name in body:
        faults.expect(name in _NAMES, name, reason=f"Known are {list(_NAMES)}.")
    for name in ("push", "longLiving", "partialCapture", "nin"):
        fits = name not in body or isinstance(body[name], bool)
        faults.expect(fits, name, reason="Must be true or false.")
    faults.text(body, "name", least=1, most=100)
    faults.whole(body, "maxLifetimeSeconds", least=1, most=10**9)
    faults.one_of(body, "currency", choices=CURRENCIES)
    faults.settle()
    return replace(unit, **{_NAMES[name]: value for name, value in body.items()})
