"""The named parts of `/openapi.json`: schemas, parameters, headers, security."""

from collections.abc import Mapping
from functools import cache
from typing import Any

import orjson
from pydantic import TypeAdapter

from service.api.contract.operations import Operation
from service.api.contract.table import OPERATIONS
from service.api.idempotency import KEY_PATTERN
from service.events.schemas import envelope_of, without_titles
from service.outbox.event_types import EVENT_TYPES, PING
from service.shapes.problems import ProblemDocument

Json = dict[str, Any]

SCHEMA = "#/components/schemas/"

_TEXT = {"type": "string"}

HEADERS: Mapping[str, Json] = {
    "ETag": {"description": "Its version, for `If-Match`.", "required": True},
    "Location": {"description": "Its address; only where it is new."},
    "Content-Disposition": {"description": "A name for the file."},
    "Idempotent-Replayed": {"description": "`true`: answered before, and not done again."},
    "Retry-After": {"description": "Seconds after which to try again.", "required": True},
    "WWW-Authenticate": {"description": "How to say who you are.", "required": True},
    "X-Trace-Id": {"description": "Quote this when you ask us.", "required": True},
}

PARAMETERS: Mapping[str, Json] = {
    "reference": {
        "name": "reference",
        "in": "path",
        "required": True,
        "description": "The invoice's.",
        "example": "acme-2026-000123",
    },
    "customerId": {"name": "id", "in": "path", "required": True, "description": "The customer's."},
    "subscriptionId": {
        "name": "id",
        "in": "path",
        "required": True,
        "description": "The subscription's.",
    },
    "deliveryId": {"name": "id", "in": "path", "required": True, "description": "The delivery's."},
    "Idempotency-Key": {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "The same key with the same body has one effect and one answer.",
        "schema": {"type": "string", "pattern": KEY_PATTERN},
    },
    "If-Match": {
        "name": "If-Match",
        "in": "header",
        "description": "The `ETag` that you have seen; another by now: 412.",
    },
    "Last-Event-ID": {
        "name": "Last-Event-ID",
        "in": "header",
        "description": "The last `id:` that you have got; it wins over `cursor`.",
    },
    "webhook-id": {
        "name": "webhook-id",
        "in": "header",
        "required": True,
        "description": "The event's id, the same on every try: do nothing for one that you know.",
    },
    "webhook-timestamp": {
        "name": "webhook-timestamp",
        "in": "header",
        "required": True,
        "description": "When this try was made, in seconds since 1970; refuse what is old.",
        "schema": {"type": "string", "pattern": "^[0-9]+$"},
    },
    "webhook-signature": {
        "name": "webhook-signature",
        "in": "header",
        "required": True,
        "description": "Signatures as Standard Webhooks make them, separated by spaces: `v1,…` "
        "with each of your secrets, `v1a,…` with our key (`GET /v1/signing-keys`).",
    },
}


def components() -> Json:
    """Return everything that the document refers to by name."""
    return {
        "schemas": dict(sorted({**_shapes()[1], **event_schemas(), "Event": _any_event()}.items())),
        "parameters": {name: {"schema": _TEXT, **one} for name, one in PARAMETERS.items()},
        "headers": {name: {"schema": _TEXT, **one} for name, one in HEADERS.items()},
        "securitySchemes": {
            "apiKey": {
                "type": "http",
                "scheme": "bearer",
                "bearerFormat": "bb_<id>_<secret>",
                "description": "`betalbar keys create`; bound to one sales unit, with some of the "
                "scopes `read`, `write`, `money`.",
            },
            "metricsKey": {
                "type": "http",
                "scheme": "bearer",
                "description": "`BETALBAR_METRICS_KEY`.",
            },
        },
    }


def schema_of(shape: Any) -> Json:
    """Return the schema of a type by its name, or one that is a schema already."""
    return dict(shape) if isinstance(shape, Mapping) else _shapes()[0][shape]


@cache
def _shapes() -> tuple[dict[Any, Json], Json]:
    """Return how each type is referred to, and all of them by name."""
    found: list[Any] = [ProblemDocument]
    for methods in OPERATIONS.values():
        for operation in methods.values():
            found += _types_of(operation)
    adapters = {shape: TypeAdapter(shape) for shape in found}
    by_key, document = TypeAdapter.json_schemas(
        [(shape, "validation", adapter) for shape, adapter in adapters.items()],
        ref_template=f"{SCHEMA}{{model}}",
    )
    named = {key: schema for (key, _), schema in by_key.items()}
    return named, _with_defaults_in_words(without_titles(document["$defs"]))


def _with_defaults_in_words(schema: Any) -> Any:
    """Say in words what is taken where a member is absent.

    Generators take a member with a `default` for one that is always there, and ask for it."""
    if isinstance(schema, list):
        return [_with_defaults_in_words(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    said = {name: _with_defaults_in_words(one) for name, one in schema.items()}
    if "default" not in said or isinstance(said["default"], dict):
        return said
    default = said.pop("default")
    return (
        said
        if default is None
        else {**said, "description": f"Else {orjson.dumps(default).decode()}."}
    )


def _types_of(operation: Operation) -> list[Any]:
    shapes = [reply.shape for replies in operation.answers.values() for reply in replies]
    return [one for one in (operation.body, *shapes) if isinstance(one, type)]


def event_schemas() -> Json:
    """Return every event type by its name, and what they are made of."""
    shapes: Json = {}
    for event_type in EVENT_TYPES:
        envelope, definitions = envelope_of(event_type, ref_template=f"{SCHEMA}{{model}}")
        shapes |= {event_type: envelope, **definitions}
    return shapes


def _any_event() -> Json:
    told = [event_type for event_type in EVENT_TYPES if event_type != PING]
    return {
        "description": "An event of the feed; `type` says which.",
        "oneOf": [{"$ref": f"{SCHEMA}{event_type}"} for event_type in told],
        "discriminator": {
            "propertyName": "type",
            "mapping": {event_type: f"{SCHEMA}{event_type}" for event_type in told},
        },
    }
