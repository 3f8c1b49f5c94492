"""The operations on invoices."""

from typing import Any

from service.api.contract.operations import (
    PAGED,
    WAIT,
    Example,
    Operation,
    Operations,
    Reply,
    instant_parameter,
    list_parameter,
    one,
    text_parameter,
)
from service.api.schemas import ActIn, Body, InvoiceIn, PaidElsewhereIn, PushIn, SoftDismissIn
from service.kinds import Scope
from service.shapes.invoices import (
    DocumentResource,
    EvidenceFile,
    InvoicePage,
    InvoiceResource,
    TransitionPage,
)
from statemachine import State

_ONE = "/v1/invoices/{reference}"

_NOW = Reply("The invoice as it is now.", InvoiceResource, ("ETag",))
_UNDER_WAY = Reply("Vipps works on it; the invoice as it is now.", InvoiceResource, ("ETag",))

# Why somebody can't be asked in the app.
_NOT_ASKED = (
    "consent_missing",
    "consent_withdrawn",
    "customer_erased",
    "customer_missing",
    "phone_number_missing",
)

_IN_THE_APP = Example(
    "Ask in the app.",
    {
        "reference": "acme-2026-000123",
        "amount": {"currency": "NOK", "value": 200000},
        "customer": {"phoneNumber": "4791234567", "name": "Kari Nordmann"},
        "description": "Travel insurance",
    },
)
_BY_LINK = Example(
    "Make a link to send; whoever pays there can be asked in the app next time.",
    {"amount": {"currency": "NOK", "value": 49900}, "flow": "WEB_REDIRECT"},
)
_WITH_EVERYTHING = Example(
    "With all that can be said.",
    {
        "reference": "acme-2026-000124",
        "amount": {"currency": "NOK", "value": 200000},
        "customer": {"phoneNumber": "+47 912 34 567", "name": "Kari Nordmann"},
        "description": "Invoice 124",
        "kid": "1234566",
        "dueDate": "2099-12-01",
        "payableUntil": "2099-12-15T00:00:00Z",
        "flow": "PUSH_MESSAGE",
        "capture": "automatic",
        "push": False,
        "orderLines": [
            {
                "name": "Travel insurance",
                "id": "12345",
                "totalAmount": 200000,
                "totalAmountExcludingTax": 160000,
                "totalTaxAmount": 40000,
                "taxRate": 2500,
                "unitInfo": {"unitPrice": 100000, "quantity": "2", "quantityUnit": "PCS"},
                "discount": 0,
                "productUrl": "https://shop.example/insurance",
                "isReturn": False,
                "isShipping": False,
            }
        ],
        "documentUrl": "https://erp.example/inv/124.pdf",
        "returnUrl": "https://shop.example/thanks",
        "metadata": {"erp": "4711"},
    },
)
_REPLACES = Example(
    "Instead of a wrong one, which is withdrawn first.",
    {
        "reference": "acme-2026-000125",
        "amount": {"currency": "NOK", "value": 180000},
        "customer": {"phoneNumber": "4791234567"},
        "replaces": "acme-2026-000123",
    },
)


def _act(
    name: str,
    summary: str,
    says: str,
    body: type[Body],
    *,
    examples: dict[str, Example],
    refusals: tuple[str, ...],
    scope: Scope = Scope.MONEY,
) -> Operation:
    """Return an operation that Vipps works on."""
    return Operation(
        name,
        summary,
        {200: (_NOW,), 202: (_UNDER_WAY,)},
        says,
        query=(WAIT,),
        body=body,
        examples=examples,
        refusals=("action_refused", "recovering", *refusals),
        takes_conditions=True,
        scope=scope,
    )


def _some(value: int, reason: str) -> Any:
    return {"amount": {"currency": "NOK", "value": value}, "reason": reason}


_ALL = Example("All that remains.", {})

OPERATIONS: Operations = {
    "/v1/invoices": {
        "GET": Operation(
            "listInvoices",
            "List invoices, newest first",
            one(Reply("A page of invoices.", InvoicePage)),
            query=(
                *PAGED,
                list_parameter(
                    "state", "Only those in one of these states.", of=State, example=["pushed"]
                ),
                text_parameter("customer", "Only those of the customer with this id."),
                instant_parameter("createdFrom", "Only those made then or later."),
                instant_parameter("createdTo", "Only those made before."),
                text_parameter("q", "Only those with this in reference or description."),
            ),
        ),
        "POST": Operation(
            "createInvoice",
            "Create an invoice and ask for it",
            {
                200: (Reply("The same request again: the invoice.", InvoiceResource, ("ETag",)),),
                201: (Reply("The invoice.", InvoiceResource, ("ETag", "Location")),),
            },
            "Only `amount`, and either `customer` or `flow: WEB_REDIRECT`, are required. The "
            "same `reference` with the same body is answered 200 with the invoice, else 409.",
            query=(WAIT,),
            body=InvoiceIn,
            is_body_required=True,
            examples={
                "in the app": _IN_THE_APP,
                "by link": _BY_LINK,
                "with everything": _WITH_EVERYTHING,
                "in place of another": _REPLACES,
            },
            refusals=(
                "recovering",
                "reference_taken",
                "replaced_already",
                "replaced_is_paid",
                "payable_until_passed",
                "being_withdrawn",
                *_NOT_ASKED,
            ),
            takes_conditions=True,
        ),
    },
    _ONE: {
        "GET": Operation("getInvoice", "Read one invoice", one(_NOW)),
    },
    f"{_ONE}/transitions": {
        "GET": Operation(
            "listTransitions",
            "Read an invoice's history, oldest first",
            one(Reply("A page of transitions.", TransitionPage)),
            "Each step with its cause. `hash` is over the row and the previous row's hash.",
            query=PAGED,
        ),
    },
    f"{_ONE}/evidence": {
        "GET": Operation(
            "getEvidence",
            "Get everything that is stored of an invoice, signed",
            one(
                Reply("A file for `betalbar audit verify`.", EvidenceFile, ("Content-Disposition",))
            ),
        ),
    },
    f"{_ONE}/document": {
        "PUT": Operation(
            "putDocument",
            "Add the PDF that the invoice's page shows",
            one(Reply("What is kept.", DocumentResource)),
            "10 MiB at most. Another one takes its place.",
            body_media_type="application/pdf",
            is_body_required=True,
            refusals=(
                "unsupported_media",
                "customer_erased",
                "too_many_uploads",
                "upload_too_slow",
            ),
            takes_conditions=True,
        ),
    },
    f"{_ONE}/qr.svg": {
        "GET": Operation(
            "getQrSvg",
            "Get the page's link as QR code, as SVG",
            one(Reply("The picture.", {}, media_type="image/svg+xml")),
        ),
    },
    f"{_ONE}/qr.png": {
        "GET": Operation(
            "getQrPng",
            "Get the page's link as QR code, as PNG",
            one(Reply("The picture.", {}, media_type="image/png")),
        ),
    },
    f"{_ONE}/push": {
        "POST": _act(
            "pushInvoice",
            "Ask the customer, again",
            "Also reopens an aborted, expired or failed one. `WEB_REDIRECT` makes a payment at "
            "once, whose `redirectUrl` stands in `payments`.",
            PushIn,
            examples={
                "again": Example("As it was asked before.", {}),
                "by link": Example(
                    "Make a payment for a page of your own.", {"flow": "WEB_REDIRECT"}
                ),
                "until later": Example(
                    "With more time to pay.", {"payableUntil": "2099-12-15T00:00:00Z"}
                ),
            },
            refusals=(
                "being_withdrawn",
                "payable_until_passed",
                "replaced_already",
                "replaced_is_open",
                *_NOT_ASKED,
            ),
            scope=Scope.WRITE,
        ),
    },
    f"{_ONE}/soft-dismiss": {
        "POST": Operation(
            "softDismissInvoice",
            "Note that the customer pays later",
            one(_NOW),
            body=SoftDismissIn,
            query=(WAIT,),
            examples={
                "why": Example("With what the customer said.", {"reason": "Pays on the 20th"})
            },
            refusals=("action_refused", "recovering", "being_withdrawn"),
            takes_conditions=True,
        ),
    },
    f"{_ONE}/capture": {
        "POST": _act(
            "captureInvoice",
            "Take reserved money",
            "Without an amount, all that remains.",
            ActIn,
            examples={"all": _ALL, "some": Example("A part.", _some(50000, "First delivery"))},
            refusals=("amount_too_high", "being_released", "not_authorized"),
        ),
    },
    f"{_ONE}/refund": {
        "POST": _act(
            "refundInvoice",
            "Give captured money back",
            "Without an amount, all that remains.",
            ActIn,
            examples={"all": _ALL, "some": Example("A part.", _some(10000, "Damaged"))},
            refusals=("amount_too_high", "not_authorized"),
        ),
    },
    f"{_ONE}/cancel": {
        "POST": _act(
            "cancelInvoice",
            "Withdraw an invoice, or release what is reserved",
            "Before the customer has approved it is withdrawn (`terminated`), afterwards what is "
            "reserved and not captured is released. An amount other than all of that is refused.",
            ActIn,
            examples={"why": Example("With a reason.", {"reason": "Not needed any more"})},
            refusals=("amount_too_high", "being_released", "being_withdrawn", "not_authorized"),
        ),
    },
    f"{_ONE}/paid-elsewhere": {
        "POST": _act(
            "markPaidElsewhere",
            "Say that it was paid another way",
            "The open payment is withdrawn. Was the customer faster, the reservation is released; "
            "what was captured before is given back only with `refund`.",
            PaidElsewhereIn,
            examples={
                "by bank": Example(
                    "Paid to the bank account.",
                    {
                        "channel": "bank",
                        "paidAt": "2026-11-22T09:00:00Z",
                        "note": "KID 1234566",
                        "refund": False,
                    },
                )
            },
            refusals=("captured_already", "being_released"),
        ),
    },
}
