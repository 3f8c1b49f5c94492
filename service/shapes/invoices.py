"""Invoices, their history, their evidence, their PDF."""

from typing import Annotated, Any, Literal, NotRequired

from typing_extensions import TypedDict

from service.events.shapes import Instant, InvoiceFacts, Money, Sha256, StateName, Url, one_of
from service.store.tables.invoices import SOURCES
from statemachine import Trigger


class InvoiceCustomer(TypedDict):
    """Who shall pay; of somebody who is erased only the id is left."""

    id: str
    phoneNumber: str | None
    name: str | None


class UnitInfoShape(TypedDict):
    """How many of what."""

    unitPrice: int
    quantity: str
    quantityUnit: NotRequired[str]


class OrderLineShape(TypedDict):
    """One line of the receipt; amounts in minor units, `taxRate` in hundredths of a percent."""

    name: str
    id: str
    totalAmount: int
    totalAmountExcludingTax: int
    totalTaxAmount: int
    taxRate: int
    unitInfo: NotRequired[UnitInfoShape]
    discount: NotRequired[int]
    productUrl: NotRequired[Url]
    isReturn: NotRequired[bool]
    isShipping: NotRequired[bool]


class InvoiceResource(InvoiceFacts):
    """An invoice."""

    customer: InvoiceCustomer | None
    orderLines: list[OrderLineShape] | None


class InvoicePage(TypedDict):
    """Invoices, newest first."""

    items: list[InvoiceResource]
    cursor: str | None


# `from` is a word of Python's own.
TransitionResource = TypedDict(
    "TransitionResource",
    {
        "sequence": int,
        "from": StateName | None,
        "to": StateName,
        "trigger": Annotated[str, one_of(Trigger)],
        "source": Annotated[str, one_of(SOURCES)],
        "occurredAt": Instant,
        "recordedAt": Instant,
        "confirmedAt": Instant | None,
        "amount": Money,
        "payment": str | None,
        "actor": str | None,
        "reason": str | None,
        "hash": Sha256,
    },
)


class TransitionPage(TypedDict):
    """An invoice's history, oldest first."""

    items: list[TransitionResource]
    cursor: str | None


class EvidenceSignature(TypedDict):
    """ed25519 over the canonical bytes of `evidence`: keys sorted, no white space, UTF-8."""

    algorithm: Literal["ed25519"]
    publicKey: str
    value: str


class EvidenceFile(TypedDict):
    """Everything stored about one invoice, for `betalbar audit verify FILE`."""

    evidence: dict[str, Any]
    signature: EvidenceSignature


class DocumentResource(TypedDict):
    """The PDF that an invoice's page shows."""

    reference: str
    contentType: Literal["application/pdf"]
    bytes: int
    sha256: Sha256
    uploadedAt: Instant
