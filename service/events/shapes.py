"""The shapes of what we tell: the builders return them, and the JSON Schemas are made of them.

A builder that leaves a member out or gives another type fails the type check; a shape that loses
a member fails the test against the published schemas. Members are only ever added.
"""

from typing import Annotated, Any

from pydantic import WithJsonSchema
from typing_extensions import TypedDict

from service.store.tables.invoices import SOURCES
from statemachine import PaymentState, State, Trigger


def one_of(values: Any) -> WithJsonSchema:
    """Return the JSON Schema of a name out of a list that may grow."""
    return WithJsonSchema({"type": "string", "enum": [str(value) for value in values]})


# RFC 3339 in UTC, to the millisecond.
Instant = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
Day = Annotated[str, WithJsonSchema({"type": "string", "format": "date"})]
Url = Annotated[str, WithJsonSchema({"type": "string", "format": "uri"})]
Sha256 = Annotated[str, WithJsonSchema({"type": "string", "pattern": "^[0-9a-f]{64}$"})]
StateName = Annotated[str, one_of(State)]
Flow = Annotated[str, one_of(("PUSH_MESSAGE", "WEB_REDIRECT"))]


class Money(TypedDict):
    """An amount in minor units, with its currency beside it."""

    currency: Annotated[str, one_of(("NOK", "DKK", "EUR"))]
    value: int


class Aggregate(TypedDict):
    """What became of the money, as Vipps sums it."""

    authorizedAmount: Money
    capturedAmount: Money
    refundedAmount: Money
    cancelledAmount: Money


class PaymentShape(TypedDict):
    """One payment of an invoice's chain."""

    reference: str
    attempt: int
    state: Annotated[str, one_of(PaymentState)]
    pspReference: str | None
    userFlow: Flow
    expiresAt: Instant | None
    redirectUrl: Url | None


class PaidElsewhereShape(TypedDict):
    """How and when it was paid another way."""

    channel: str
    paidAt: Instant | None
    note: str | None
    recordedAt: Instant


class Problem(TypedDict):
    """Why something that was asked of Vipps was not done."""

    command: str
    code: str | None
    status: int | None
    detail: str
    traceId: str | None
    at: Instant


class ById(TypedDict):
    """Somebody or something, by its id and nothing else."""

    id: str


class InvoiceFacts(TypedDict):
    """What is shown of an invoice everywhere."""

    reference: str
    salesUnit: str
    state: StateName
    sequence: int
    amount: Money
    aggregate: Aggregate
    description: str
    kid: str | None
    dueDate: Day | None
    payableUntil: Instant
    flow: Flow
    capture: Annotated[str, one_of(("manual", "automatic"))]
    push: bool
    replaces: str | None
    documentUrl: Url | None
    returnUrl: Url | None
    metadata: dict[str, str] | None
    payments: list[PaymentShape]
    pageUrl: Url
    captureGuaranteedUntil: Instant | None
    paidElsewhere: PaidElsewhereShape | None
    problem: Problem | None
    availableActions: list[str]
    createdAt: Instant
    updatedAt: Instant


class InvoiceShape(InvoiceFacts):
    """An invoice as events carry it."""

    customer: ById | None


class TransitionShape(TypedDict):
    """The transition that an event tells of."""

    trigger: Annotated[str, one_of(Trigger)]
    source: Annotated[str, one_of(SOURCES)]
    occurredAt: Instant
    recordedAt: Instant


class InvoiceMoved(TypedDict):
    """`data` of `invoice.<state>`."""

    invoice: InvoiceShape
    previousState: StateName | None
    transition: TransitionShape


class InvoiceNoted(TypedDict):
    """`data` of an event of an invoice that did not move."""

    invoice: InvoiceShape
    reason: str


class ConsentShape(TypedDict):
    """When a customer agreed, through what, and since when no more."""

    grantedAt: Instant | None
    source: str | None
    withdrawnAt: Instant | None


class CustomerTold(TypedDict):
    """`data` of `customer.consented` and `customer.withdrawn`."""

    customer: ById
    consent: ConsentShape


class SubscriptionShape(TypedDict):
    """A subscription that fares badly."""

    id: str
    description: str | None
    status: Annotated[str, one_of(("degraded", "disabled"))]
    reason: str | None
    failingSince: Instant | None


class SubscriptionTold(TypedDict):
    """`data` of `subscription.degraded` and `subscription.disabled`."""

    subscription: SubscriptionShape


class Nothing(TypedDict):
    """`data` of `test.ping`."""
