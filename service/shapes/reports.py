"""What a clerk books from."""

from typing import Literal

from typing_extensions import TypedDict

from service.events.shapes import Day, Instant, Money


class Booked(TypedDict):
    """One capture or refund, as Vipps reported it."""

    at: Instant
    type: Literal["capture", "refund"]
    invoice: str
    payment: str
    kid: str | None
    pspReference: str
    amount: Money


class DailyReport(TypedDict):
    """What was captured and refunded on one day of the sales unit's own."""

    date: Day
    salesUnit: str
    timeZone: str
    captured: Money
    refunded: Money
    items: list[Booked]
