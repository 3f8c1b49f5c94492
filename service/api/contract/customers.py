"""The operations on customers."""

from service.api.contract.operations import PAGED, Example, Operation, Operations, Reply, one
from service.api.schemas import CustomerChangeIn, CustomerNewIn, NothingIn, PhoneIn
from service.kinds import Scope
from service.shapes.customers import CustomerPage, CustomerResource, CustomersFound

_SHOWN = Reply("The customer.", CustomerResource, ("ETag",))

OPERATIONS: Operations = {
    "/v1/customers": {
        "GET": Operation(
            "listCustomers",
            "List customers, newest first",
            one(Reply("A page of customers.", CustomerPage)),
            query=PAGED,
        ),
        "POST": Operation(
            "createCustomer",
            "Add a customer",
            {
                200: (Reply("Known already.", CustomerResource, ("ETag",)),),
                201: (Reply("The customer.", CustomerResource, ("ETag", "Location")),),
            },
            "Without `consent` you vouch for it; `null`: none is known.",
            body=CustomerNewIn,
            is_body_required=True,
            examples={
                "with consent": Example(
                    "With the consent that you have.",
                    {
                        "phoneNumber": "4798765432",
                        "name": "Ola Nordmann",
                        "consent": {
                            "grantedAt": "2026-11-01T08:00:00Z",
                            "source": "checkout",
                            "wording": "checkout-v3",
                        },
                    },
                ),
                "without": Example(
                    "No consent is known.", {"phoneNumber": "+45 20 12 34 56", "consent": None}
                ),
            },
            refusals=("phone_number_taken",),
            takes_conditions=True,
        ),
    },
    "/v1/customers/search": {
        "POST": Operation(
            "searchCustomers",
            "Find a customer by phone number",
            one(Reply("One customer or none.", CustomersFound)),
            "A phone number is never in an address: addresses end up in logs.",
            body=PhoneIn,
            is_body_required=True,
            scope=Scope.READ,
            examples={"by number": Example("By phone number.", {"phoneNumber": "4791234567"})},
        ),
    },
    "/v1/customers/{id}": {
        "GET": Operation("getCustomer", "Read one customer", one(_SHOWN)),
        "PATCH": Operation(
            "changeCustomer",
            "Change a customer",
            one(_SHOWN),
            "What is named is changed, the rest stays. A `name` of null is forgotten.",
            body=CustomerChangeIn,
            examples={
                "withdrawn": Example(
                    "The customer does not want to be asked in the app.",
                    {"consent": {"withdrawnAt": "2026-11-22T09:00:00Z"}},
                ),
                "moved": Example(
                    "Another name and number.", {"name": "Ola Hansen", "phoneNumber": "4798765433"}
                ),
            },
            refusals=("phone_number_taken", "phone_number_missing"),
            takes_conditions=True,
        ),
        "DELETE": Operation(
            "eraseCustomer",
            "Erase a customer",
            one(Reply("The person is forgotten, the ledger stays whole."), status=204),
            body=NothingIn,
            takes_conditions=True,
        ),
    },
}
