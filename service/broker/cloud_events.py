"""An event as a CloudEvent 1.0: structured mode, JSON format.

Structured, because that is the only mode that the released NATS binding knows, and because what
bridges and stores of NATS keep of a message for certain is its body. The event itself stands in
`data` byte for byte as on every other channel.
Source: CloudEvents 1.0.2, "NATS Protocol Binding", section 1.3; "JSON Event Format".
"""

from dataclasses import dataclass
from typing import Any

import orjson

CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Told:
    """One event of the feed: its id, its type, and its bytes."""

    id: str
    type: str
    payload: bytes


def cloud_event(event: Told, source: str) -> bytes:
    """Return the CloudEvent's bytes: the same for the same event and source."""
    stored = orjson.loads(event.payload)
    attributes = {
        "specversion": "1.0",
        "id": event.id,
        "source": source,
        "type": event.type,
        "time": stored["timestamp"],
        "datacontenttype": "application/json",
    }
    about = _about(stored["data"])
    if about is not None:
        attributes["subject"] = about
    return orjson.dumps({**attributes, "data": orjson.Fragment(event.payload)})


def source_of(base_url: str, msn: str) -> str:
    """Return the source of a sales unit's events; with the id it names one event for ever."""
    return f"{base_url}/sales-units/{msn}"


def subject_of(msn: str, event_type: str) -> str:
    """Return the NATS subject: a consumer filters by sales unit and by type."""
    return f"betalbar.{msn}.{event_type}"


def _about(data: dict[str, Any]) -> str | None:
    """Return what the event is about: the invoice's reference, else a customer's or other id."""
    if "invoice" in data:
        return str(data["invoice"]["reference"])
    named = (data[kind]["id"] for kind in ("customer", "subscription") if kind in data)
    return next(named, None)
