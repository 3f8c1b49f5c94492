"""`/openapi.json`: OpenAPI 3.1, made of the operations, the models and the shapes that serve.

Source: spec.openapis.org/oas/v3.1.1, standardwebhooks.com
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from service.api.contract.components import HEADERS, SCHEMA, components, schema_of
from service.api.contract.links import links, links_from
from service.api.contract.operations import JSON, Operation, Parameter, Reply
from service.api.contract.remedies import EXPLAINED
from service.api.contract.table import GROUPS, OPERATIONS, codes_of, group_of, scope_of
from service.outbox.event_types import EVENT_TYPES
from service.problem_frame import MEDIA_TYPE

Json = dict[str, Any]

VERSION = "1"

_ABOUT = """\
Invoices into the customer's Vipps MobilePay app, and events that tell what became of each.

Amounts are integers in minor units, times RFC 3339 in UTC. Members are only ever added to
answers and events: ignore those that you do not know. Mutations take `Idempotency-Key`: the same
key with the same body is answered as the first time, for 30 days.
"""


@cache
def openapi() -> Json:
    """Return the document, but for where the service is."""
    paths = {
        path: {method.lower(): _operation(path, method, one) for method, one in methods.items()}
        for path, methods in OPERATIONS.items()
    }
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "Betalbar",
            "version": VERSION,
            "description": _ABOUT,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        # Where an operation says nothing else.
        "security": [{"apiKey": []}],
        "tags": [{"name": group} for group in GROUPS],
        "paths": {path: _with_path_parameter(path, methods) for path, methods in paths.items()},
        "webhooks": {event_type: {"post": _webhook(event_type)} for event_type in EVENT_TYPES},
        "components": {**components(), "links": links()},
    }


def served_openapi(base_url: str) -> Json:
    """Return the document of the service that is at this address."""
    return {**openapi(), "servers": [{"url": base_url}]}


def _with_path_parameter(path: str, methods: Json) -> Json:
    if "{" not in path:
        return methods
    kind = path.split("/")[2]
    name = {"invoices": "reference", "customers": "customerId", "deliveries": "deliveryId"}
    named = name.get(kind, "subscriptionId")
    return {"parameters": [{"$ref": f"#/components/parameters/{named}"}], **methods}


def _operation(path: str, method: str, operation: Operation) -> Json:
    described: Json = {
        "operationId": operation.name,
        "tags": [group_of(path)],
        "summary": operation.summary,
    }
    described["description"] = _says(method, operation)
    if operation.is_open:
        described["security"] = [{}, {"metricsKey": []}] if path == "/metrics" else []
    parameters = [_parameter(one) for one in operation.query]
    named = [*operation.headers]
    if operation.takes_conditions:
        named += ["Idempotency-Key", "If-Match"]
    parameters += [{"$ref": f"#/components/parameters/{name}"} for name in named]
    if parameters:
        described["parameters"] = parameters
    body = _body(operation)
    if body:
        described["requestBody"] = body
    described["responses"] = {
        **_answers(operation, links_from(path, method)),
        **_refusals(codes_of(path, method, operation), set(operation.answers)),
    }
    return described


def _says(method: str, operation: Operation) -> str:
    if operation.is_open:
        return operation.says
    return f"{operation.says} Scope: `{scope_of(method, operation)}`.".strip()


def _parameter(one: Parameter) -> Json:
    described: Json = {
        "name": one.name,
        "in": "query",
        "description": one.says,
        "schema": dict(one.schema),
    }
    if one.is_required:
        described["required"] = True
    if one.example is not None:
        described["example"] = one.example
    return described


def _body(operation: Operation) -> Json | None:
    if operation.body is None:
        if operation.body_media_type == JSON:
            return None
        return {"required": True, "content": {operation.body_media_type: {}}}
    content: Json = {"schema": schema_of(operation.body)}
    if operation.examples:
        content["examples"] = {
            name: {"summary": one.says, "value": one.value}
            for name, one in operation.examples.items()
        }
    return {"required": operation.is_body_required, "content": {JSON: content}}


def _answers(operation: Operation, linked: Json) -> Json:
    described = {
        str(status): _answer(operation, replies) for status, replies in operation.answers.items()
    }
    if not linked:
        return described
    return {status: {**answer, "links": linked} for status, answer in described.items()}


def _answer(operation: Operation, replies: tuple[Reply, ...]) -> Json:
    named = {name for reply in replies for name in reply.headers}
    if operation.takes_conditions:
        named.add("Idempotent-Replayed")
    headers = {name: {"$ref": f"#/components/headers/{name}"} for name in HEADERS if name in named}
    headers["X-Trace-Id"] = {"$ref": "#/components/headers/X-Trace-Id"}
    described: Json = {"description": replies[0].says, "headers": headers}
    content = {
        reply.media_type: {"schema": schema_of(reply.shape)}
        for reply in replies
        if reply.shape is not None
    }
    return {**described, "content": content} if content else described


def _refusals(codes: Iterable[str], taken: set[int]) -> Json:
    """Return the answers that say no, by status."""
    by_status: Mapping[int, list[str]] = defaultdict(list)
    for code in sorted(codes):
        by_status[EXPLAINED[code].status].append(code)
    return {
        str(status): refusal(status, by_status[status])
        for status in sorted(by_status)
        if status not in taken
    }


def refusal(status: int, codes: Iterable[str]) -> Json:
    """Return one answer that says no with one of these codes."""
    headers = {"X-Trace-Id": {"$ref": "#/components/headers/X-Trace-Id"}}
    for name, statuses in {"Retry-After": (429, 503), "WWW-Authenticate": (401,)}.items():
        if status in statuses:
            headers[name] = {"$ref": f"#/components/headers/{name}"}
    says = [f"`{code}`: {EXPLAINED[code].when}; {EXPLAINED[code].remedy}." for code in codes]
    enum = {"properties": {"code": {"enum": list(codes)}}}
    schema = {"allOf": [{"$ref": f"{SCHEMA}ProblemDocument"}, enum]}
    return {
        "description": "\n\n".join(says),
        "headers": headers,
        "content": {MEDIA_TYPE: {"schema": schema}},
    }


def _webhook(event_type: str) -> Json:
    named = ("webhook-id", "webhook-timestamp", "webhook-signature")
    return {
        "operationId": f"receive.{event_type}",
        "tags": ["Webhooks"],
        "summary": f"`{event_type}` to a subscription's address",
        "parameters": [{"$ref": f"#/components/parameters/{name}"} for name in named],
        "requestBody": {
            "required": True,
            "content": {JSON: {"schema": {"$ref": f"{SCHEMA}{event_type}"}}},
        },
        "responses": {
            "2XX": {"description": "You have it. Anything else, and it comes again."},
            "410": {"description": "You want no more: the subscription is disabled."},
        },
        "security": [],
    }
