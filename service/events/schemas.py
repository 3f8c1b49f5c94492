"""The JSON Schema (2020-12) of each event type, made of the shapes that are sent."""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from service.events import shapes
from service.outbox.event_types import EVENT_TYPES
from statemachine import State

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_MOVED = frozenset(f"invoice.{state}" for state in State)
_BY_PREFIX = {
    "invoice": shapes.InvoiceNoted,
    "customer": shapes.CustomerTold,
    "subscription": shapes.SubscriptionTold,
    "test": shapes.Nothing,
}

# What a receiver relies on in a member; texts for people may be bettered at any time.
_PROMISES = ("type", "format", "const", "enum", "$ref", "anyOf", "items", "additionalProperties")


def event_schema(event_type: str) -> dict[str, Any]:
    """Return the schema of one event type, complete in itself.

    Members may be added to events: a receiver ignores those that it does not know.
    Raises: KeyError, where there is no such type."""
    envelope, definitions = envelope_of(event_type)
    return {"$schema": DIALECT, **envelope, **({"$defs": definitions} if definitions else {})}


def all_schemas() -> dict[str, Any]:
    """Return one document with every event type by its name under `$defs`."""
    shared: dict[str, Any] = {}
    envelopes: dict[str, Any] = {}
    for event_type in EVENT_TYPES:
        envelopes[event_type], definitions = envelope_of(event_type)
        shared |= definitions
    return {"$schema": DIALECT, "$defs": {**envelopes, **dict(sorted(shared.items()))}}


def envelope_of(
    event_type: str, *, ref_template: str = "#/$defs/{model}"
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the schema of an event, and of what it is made of by name. Raises: KeyError."""
    if event_type not in EVENT_TYPES:
        raise KeyError(event_type)
    prefix = event_type.partition(".")[0]
    shape = shapes.InvoiceMoved if event_type in _MOVED else _BY_PREFIX[prefix]
    # A copy, since the caller may change it.
    data, definitions = deepcopy(_schema_of(shape, ref_template))
    envelope = {
        "type": "object",
        "properties": {
            "id": {"type": "string", "pattern": "^evt_[0-9A-Z]{26}$"},
            "type": {"const": event_type},
            "timestamp": {"type": "string", "format": "date-time"},
            "sequence": {"type": "integer", "minimum": 0},
            "data": data,
        },
        "required": ["id", "type", "timestamp", "sequence", "data"],
    }
    return envelope, definitions


@cache
def _schema_of(shape: Any, ref_template: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the schema of what an event tells, and of what that is made of by name."""
    adapter: TypeAdapter[Any] = TypeAdapter(shape)
    schema = without_titles(adapter.json_schema(ref_template=ref_template))
    return schema, schema.pop("$defs", {})


def without_titles(schema: Any) -> Any:
    """Leave out what pydantic calls things: their names, in another case."""
    if isinstance(schema, dict):
        named = ((name, without_titles(inner)) for name, inner in schema.items())
        return {n: inner for n, inner in named if n != "title" or not isinstance(inner, str)}
    return [without_titles(one) for one in schema] if isinstance(schema, list) else schema


def broken_promises(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return what receivers of the old schemas can't rely on any more, as paths.

    A member or type that has gone, is of another type, or need not be there now. An `enum` may
    grow: states and sources are known by the documentation to do so."""
    return list(_broken(old, new, ""))


def _broken(old: Mapping[str, Any], new: Mapping[str, Any], path: str) -> Iterator[str]:
    for name, was in old.items():
        here, now = f"{path}/{name}", new.get(name)
        if name == "required" or name == "enum":
            yield from (f"{here}/{one}" for one in was if one not in (now or ()))
        elif isinstance(was, Mapping):
            if isinstance(now, Mapping):
                yield from _broken(was, now, here)
            else:
                yield here
        elif name in _PROMISES and now != was:
            yield here
