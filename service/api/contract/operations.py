"""What an operation takes and answers: the routes read it, and the documents are made of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from service.api.query import LIMIT_DEFAULT, LIMIT_MAX, WAIT_S_MAX
from service.api.schemas import Body
from service.kinds import Scope

JSON = "application/json"

# By path, then by method.
Operations = Mapping[str, Mapping[str, "Operation"]]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter in the address; one that is a list may be repeated, or have commas."""

    name: str
    says: str
    schema: Mapping[str, Any]
    example: Any = None
    is_required: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer that is no refusal; `shape` is a type, or a schema where it is not JSON."""

    says: str
    shape: Any = None
    headers: tuple[str, ...] = ()
    media_type: str = JSON


@dataclass(frozen=True, slots=True)
class Example:
    """One body that can be sent as it is."""

    says: str
    value: Any


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one address.

    `refusals` are the codes of problems beyond those that follow from the rest: a key, a name in
    the path, parameters, a body. What `takes_conditions` honours `Idempotency-Key` and `If-Match`.
    """

    name: str
    summary: str
    answers: Mapping[int, tuple[Reply, ...]]
    says: str = ""
    query: tuple[Parameter, ...] = ()
    headers: tuple[str, ...] = ()
    body: type[Body] | None = None
    body_media_type: str = JSON
    is_body_required: bool = False
    examples: Mapping[str, Example] = field(default_factory=dict)
    refusals: tuple[str, ...] = ()
    takes_conditions: bool = False
    is_open: bool = False
    scope: Scope | None = None  # by the method, where nothing else is said

    @property
    def query_names(self) -> tuple[str, ...]:
        """Return which parameters the address may have."""
        return tuple(parameter.name for parameter in self.query)


def one(reply: Reply, *, status: int = 200) -> Mapping[int, tuple[Reply, ...]]:
    """Return the answers of an operation that has one."""
    return {status: (reply,)}


def text_parameter(
    name: str, says: str, *, example: str | None = None, is_required: bool = False
) -> Parameter:
    """Return a parameter that is a text."""
    return Parameter(name, says, {"type": "string"}, example, is_required)


def instant_parameter(
    name: str, says: str, *, example: str = "2026-11-22T00:00:00Z", is_required: bool = False
) -> Parameter:
    """Return a parameter that is an instant."""
    schema = {"type": "string", "format": "date-time"}
    return Parameter(name, says, schema, example, is_required)


def list_parameter(name: str, says: str, *, of: Any, example: Any = None) -> Parameter:
    """Return a parameter that names some of a list."""
    items = {"type": "string", "enum": [str(one) for one in of]}
    return Parameter(name, says, {"type": "array", "items": items, "maxItems": 50}, example)


def whole_parameter(name: str, says: str, *, lowest: int, highest: int, default: int) -> Parameter:
    """Return a parameter that is a whole number."""
    limits = {"minimum": lowest, "maximum": highest, "default": default}
    return Parameter(name, says, {"type": "integer", **limits}, default)


LIMIT = whole_parameter(
    "limit", "How many items at most.", lowest=1, highest=LIMIT_MAX, default=LIMIT_DEFAULT
)
CURSOR = text_parameter("cursor", "Where to go on: the `cursor` of the page before.")
PAGED = (LIMIT, CURSOR)
WAIT = whole_parameter(
    "wait",
    "How many seconds the answer may wait for Vipps; then it is 202 if it still works.",
    lowest=0,
    highest=WAIT_S_MAX,
    default=0,
)
