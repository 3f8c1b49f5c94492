"""What we tell of, by name, and which names a subscription's filter takes (contract, section 6)."""

from collections.abc import Iterable

from statemachine import State

EVERYTHING = "*"
EVERY_INVOICE = "invoice.*"
PING = "test.ping"

EVENT_TYPES = (
    *(f"invoice.{state}" for state in State),
    "invoice.payment_ended",
    "invoice.needs_attention",
    "invoice.double_payment_detected",
    "customer.consented",
    "customer.withdrawn",
    "subscription.degraded",
    "subscription.disabled",
    # Goes only to the subscription that is tested and is never in the feed; as a filter it
    # is a known name that nothing from the feed matches.
    PING,
)

FILTERS = (*EVENT_TYPES, EVERY_INVOICE, EVERYTHING)


def is_filter(text: str) -> bool:
    """Tell whether a subscription may ask for this: an exact type, `invoice.*` or `*`."""
    return text in FILTERS


def matches(filters: Iterable[str], event_type: str) -> bool:
    """Tell whether one of a subscription's filters takes an event of the feed."""
    return any(
        text in (event_type, EVERYTHING)
        or (text == EVERY_INVOICE and event_type.startswith("invoice."))
        for text in filters
    )
