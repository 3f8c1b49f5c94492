"""The bodies that merchants send, and what must fit together in them (contract, section 6).

Input models only: what a merchant may not set (state, sales unit, sums) has no field, and an
unknown member is refused (T41). Strict: no text for a number, no true for 1, no 1.0 for 1.
"""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from service.api import fields
from service.errors import FieldError
from service.vipps.bodies import AMOUNT_MINOR_MAX, AMOUNT_MINOR_MIN

METADATA_BYTES_MAX = 4096

Currency = Literal["NOK", "DKK", "EUR"]
Flow = Literal["PUSH_MESSAGE", "WEB_REDIRECT"]

# A line of a receipt is an int64 at Vipps; the invoice's own limit bounds the sum.
LineAmount = Annotated[int, Field(ge=0, le=10**12)]


class Body(BaseModel):
    """A JSON object in camelCase, no member of which is unknown."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        alias_generator=to_camel,
        hide_input_in_errors=True,
    )


class MoneyIn(Body):
    """An amount in minor units, with its currency beside it."""

    currency: Currency
    value: Annotated[int, Field(ge=1, le=AMOUNT_MINOR_MAX)]


class Patch(Body):
    """A body of which what is absent stays as it is: its members have no defaults."""

    model_config = ConfigDict(json_schema_extra=lambda schema: _drop_defaults(schema))


class CustomerIn(Body):
    """Who shall pay: by phone number, or by the id of a customer known already."""

    id: fields.CustomerId | None = None
    phone_number: fields.PhoneNumber | None = Field(default=None, repr=False)
    name: fields.Name | None = Field(default=None, repr=False)


class ConsentIn(Body):
    """That a customer agreed to be asked in the app, or does not any more."""

    granted_at: fields.Instant | None = None
    source: fields.Slug | None = None
    wording: fields.Slug | None = None
    withdrawn_at: fields.Instant | None = None


class CustomerNewIn(Body):
    """`POST /v1/customers`; without `consent` the merchant vouches for it, null: none is known."""

    phone_number: fields.PhoneNumber = Field(repr=False)
    name: fields.Name | None = Field(default=None, repr=False)
    consent: ConsentIn | None = None


class CustomerChangeIn(Patch):
    """`PATCH /v1/customers/{id}`; a name of null is forgotten."""

    phone_number: fields.PhoneNumber = Field(default="", repr=False)
    name: fields.Name | None = Field(default=None, repr=False)
    consent: ConsentIn = Field(default_factory=ConsentIn)


class PhoneIn(Body):
    """`POST /v1/customers/search`."""

    phone_number: fields.PhoneNumber = Field(repr=False)


class UnitInfo(Body):
    """How many of what, as Vipps's receipts say it."""

    unit_price: LineAmount
    quantity: Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]{1,8})?$", max_length=10)]
    quantity_unit: Literal["PCS", "KG", "KM", "MINUTE", "LITRE", "KWH"] | None = None


class OrderLine(Body):
    """One line of the receipt. Source: ePayment OpenAPI 1.8.1, `OrderLine`."""

    name: Annotated[fields.Line, Field(min_length=1, max_length=500)]
    id: Annotated[fields.Line, Field(min_length=1, max_length=255)]
    total_amount: LineAmount
    total_amount_excluding_tax: LineAmount
    total_tax_amount: LineAmount
    tax_rate: Annotated[int, Field(ge=0, le=10_000)]  # hundredths of a percent
    unit_info: UnitInfo | None = None
    discount: LineAmount | None = None
    product_url: fields.Url | None = None
    is_return: bool | None = None
    is_shipping: bool | None = None


class InvoiceIn(Body):
    """`POST /v1/invoices`."""

    reference: fields.Reference | None = None
    amount: MoneyIn
    customer: CustomerIn | None = None
    description: fields.Description | None = None
    kid: fields.Kid | None = None
    due_date: fields.Day | None = None
    payable_until: fields.Instant | None = None
    flow: Flow = "PUSH_MESSAGE"
    capture: Literal["manual", "automatic"] = "manual"
    push: bool = True
    replaces: fields.Reference | None = None
    order_lines: Annotated[list[OrderLine], Field(min_length=1, max_length=200)] | None = None
    document_url: fields.Url | None = None
    return_url: fields.Url | None = None
    metadata: Annotated[dict[fields.Text, fields.Text], Field(max_length=20)] | None = None

    def contradictions(self) -> Iterator[FieldError]:
        """Tell what is wrong with members that are right one by one."""
        lowest = AMOUNT_MINOR_MIN[self.amount.currency]
        if self.amount.value < lowest:
            yield FieldError("amount.value", f"is less than {lowest} {self.amount.currency} minor")
        yield from self._customer_contradictions()
        if self.order_lines is not None and _sum(self.order_lines) != self.amount.value:
            yield FieldError("orderLines", "do not sum up to the amount")
        if self.metadata and len(orjson.dumps(self.metadata)) > METADATA_BYTES_MAX:
            yield FieldError("metadata", f"is larger than {METADATA_BYTES_MAX} bytes")
        if self.replaces is not None and self.replaces == self.reference:
            yield FieldError("replaces", "is the invoice itself")

    def _customer_contradictions(self) -> Iterator[FieldError]:
        customer = self.customer
        if customer is None:
            if self.flow == "PUSH_MESSAGE":
                yield FieldError("customer", "is required, unless flow is WEB_REDIRECT")
        elif (customer.id is None) == (customer.phone_number is None):
            yield FieldError("customer", "needs either an id or a phoneNumber")
        elif customer.id is not None and customer.name is not None:
            yield FieldError("customer.name", "goes with a phoneNumber, not with an id")


class PushIn(Body):
    """`POST …/push`."""

    flow: Flow | None = None
    payable_until: fields.Instant | None = None


class ActIn(Body):
    """`POST …/capture`, `…/refund`, `…/cancel`; without an amount, all that remains."""

    amount: MoneyIn | None = None
    reason: fields.Reason | None = None


class SoftDismissIn(Body):
    """`POST …/soft-dismiss`: moves no money, so there is no amount."""

    reason: fields.Reason | None = None


class PaidElsewhereIn(Body):
    """`POST …/paid-elsewhere`."""

    channel: fields.Label
    paid_at: fields.Instant | None = None
    note: fields.Reason | None = None
    refund: bool = False


class NothingIn(Body):
    """A call that takes no members: an empty body or `{}`."""


class SubscriptionIn(Body):
    """`POST /v1/subscriptions`."""

    url: Annotated[str, Field(min_length=1, max_length=2048)] = Field(repr=False)
    event_types: Annotated[list[str], Field(min_length=1, max_length=50)]
    description: fields.Description | None = None
    in_order: bool = True


class SubscriptionPatch(Patch):
    """`PATCH /v1/subscriptions/{id}`: what is absent stays; only a description may be null."""

    url: Annotated[str, Field(min_length=1, max_length=2048)] = Field(default="", repr=False)
    event_types: Annotated[list[str], Field(min_length=1, max_length=50)] = Field(default=[])
    description: fields.Description | None = None
    in_order: bool = True
    status: Literal["healthy", "disabled"] = "healthy"


class RotateIn(Body):
    """`POST …/rotate-secret`; without an overlap given, a day."""

    overlap_seconds: Annotated[int, Field(ge=0, le=604_800)] = 86_400


class ReplayIn(Body):
    """`POST …/replay`; without `to`, until now."""

    start: fields.Instant = Field(alias="from")
    to: fields.Instant | None = None
    mode: Literal["failed", "all", "latest"]
    dry_run: bool = False


def _drop_defaults(schema: dict[str, Any]) -> None:
    for member in schema["properties"].values():
        member.pop("default", None)


def _sum(lines: list[OrderLine]) -> int:
    """Return what the lines cost together; a returned one counts against the others."""
    return sum(-line.total_amount if line.is_return else line.total_amount for line in lines)
