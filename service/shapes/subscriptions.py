"""Subscriptions and what went to them."""

from typing import Annotated, Literal

from pydantic import WithJsonSchema
from typing_extensions import TypedDict

from service.events.shapes import Instant, Url, one_of
from service.store.tables import DeliveryStatus, SubscriptionStatus


class SubscriptionResource(TypedDict):
    """A subscription; `nextAttemptAt` is null where nothing waits for its receiver."""

    id: str
    url: Url
    eventTypes: list[str]
    description: str | None
    inOrder: bool
    status: Annotated[str, one_of(SubscriptionStatus)]
    reason: str | None
    failingSince: Instant | None
    nextAttemptAt: Instant | None
    createdAt: Instant


class SubscriptionWithSecret(SubscriptionResource):
    """A subscription with the secret that verifies its deliveries, shown this once."""

    secret: Annotated[str, WithJsonSchema({"type": "string", "pattern": "^whsec_"})]


class SubscriptionPage(TypedDict):
    """Subscriptions, newest first."""

    items: list[SubscriptionResource]
    cursor: str | None


class PingResult(TypedDict):
    """What a receiver said to a ping."""

    event: str
    type: Literal["test.ping"]
    delivered: bool
    status: int | None
    latencyMs: int
    answer: str
    error: str | None


class AttemptResource(TypedDict):
    """One HTTP try; `answer` is the first 2 KiB of what came back."""

    at: Instant
    status: int | None
    latencyMs: int
    answer: str | None
    error: str | None


class DeliveryResource(TypedDict):
    """One event to one subscription, with its last twenty tries, oldest first."""

    id: str
    event: str
    type: str
    reference: str | None
    status: Annotated[str, one_of(DeliveryStatus)]
    nextAttemptAt: Instant | None
    createdAt: Instant
    settledAt: Instant | None
    attemptCount: int
    attempts: list[AttemptResource]


class DeliveryPage(TypedDict):
    """Deliveries, newest first."""

    items: list[DeliveryResource]
    cursor: str | None


class Count(TypedDict):
    """How many events are, or would be, sent again."""

    count: int
