"""Every event that a test lets happen is held against its published schema."""

from functools import cache
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker

from service.events.schemas import event_schema


def check_event(event: dict[str, Any]) -> None:
    """Check one event, and that it has no member that nobody is told of.

    Raises: jsonschema.ValidationError."""
    _validator(event["type"]).validate(event)


@cache
def _validator(event_type: str) -> Draft202012Validator:
    schema = closed(event_schema(event_type))
    return Draft202012Validator(schema, format_checker=FormatChecker())


def closed(schema: Any) -> Any:
    """Return a schema by which members that nobody is told of are wrong."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    inside = {name: closed(inner) for name, inner in schema.items()}
    has_members = isinstance(schema.get("properties"), dict) and "type" in schema
    return {**inside, "additionalProperties": False} if has_members else inside
