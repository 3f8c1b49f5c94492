"""Every operation that is served, by path and method; the routes are made of it."""

from service.api.contract import customers, feed, invoices, rest, subscriptions
from service.api.contract.operations import Operation, Operations
from service.kinds import Scope

OPERATIONS: Operations = {
    **invoices.OPERATIONS,
    **customers.OPERATIONS,
    **subscriptions.OPERATIONS,
    **feed.OPERATIONS,
    **rest.OPERATIONS,
}

# How the reference groups them, by the first words of the path.
_GROUPS = {
    "/v1/invoices": "Invoices",
    "/v1/customers": "Customers",
    "/v1/subscriptions": "Subscriptions",
    "/v1/deliveries": "Subscriptions",
    "/v1/events": "Feed",
    "/v1/feed": "Feed",
    "/v1/reports": "Reports",
}

GROUPS = (*dict.fromkeys(_GROUPS.values()), "Service")


def group_of(path: str) -> str:
    """Return what an operation is about."""
    return next((group for start, group in _GROUPS.items() if path.startswith(start)), "Service")


def scope_of(method: str, operation: Operation) -> Scope:
    """Return what a key must be good for to be used here."""
    return operation.scope or (Scope.READ if method == "GET" else Scope.WRITE)


def codes_of(path: str, method: str, operation: Operation) -> tuple[str, ...]:
    """Return the code of every refusal that this operation can answer with."""
    has_body = operation.body is not None or method == "PUT"
    codes = [*operation.refusals, "internal"]
    if not operation.is_open:
        codes += ["unauthorized", "scope_missing", "invalid_input"]
        codes += ["too_many_requests", "database_away", "overloaded"]
        if scope_of(method, operation) is Scope.READ:
            codes += ["read_too_long"]
    if "{" in path:
        codes += ["not_found"]
    if has_body:
        codes += ["not_json", "body_too_large"]
    if operation.takes_conditions:
        codes += ["precondition_failed", "request_in_progress", "idempotency_key_reused"]
        codes += ["customer_erased"]  # the answer that was kept showed a person
    return tuple(dict.fromkeys(codes))
