"""The feed, as it is pulled."""

from typing import Annotated, Any

from pydantic import WithJsonSchema
from typing_extensions import TypedDict

from service.events.shapes import Instant, Sha256

# An event as it stands in the feed; each type has a schema of its own.
StoredEvent = Annotated[Any, WithJsonSchema({"$ref": "#/components/schemas/Event"})]


class EventPage(TypedDict):
    """Events in the feed's order; `tryLater`: nothing more is there for now."""

    items: list[StoredEvent]
    cursor: str
    tryLater: bool


DigestBucket = TypedDict(
    "DigestBucket",
    {"from": Instant, "to": Instant, "count": int, "hash": Sha256, "cursor": str},
)
DigestResource = TypedDict(
    "DigestResource",
    {"from": Instant, "to": Instant, "settledUntil": Instant, "buckets": list[DigestBucket]},
)


class Partition(TypedDict):
    """One of the feed's partitions; there is one."""

    id: str


class FeedDiscovery(TypedDict):
    """What FeedAPI clients ask first."""

    token: str
    partitions: list[Partition]
    exactlyOnce: bool
