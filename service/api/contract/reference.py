"""The reference pages of the docs, made of what the documents are made of.

`python -m service.api.contract FOLDER` writes them; a test holds them up to date.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson

from service.api.contract.components import SCHEMA, schema_of
from service.api.contract.openapi import openapi
from service.api.contract.operations import JSON, Operation, Parameter
from service.api.contract.remedies import EXPLAINED
from service.api.contract.table import GROUPS, OPERATIONS, codes_of, group_of, scope_of
from service.events.meanings import MEANINGS
from service.outbox.event_types import EVERY_INVOICE, EVERYTHING

_MADE = "<!-- Made by `make reference`; what it says stands in the code. -->\n"

_ERRORS = f"""\
# Problems

{_MADE}
Every refusal is `application/problem+json` (RFC 9457) with `type`, `title`, `status`, `detail`,
`code` and `traceId`. Programs should look at `code`: it never changes its meaning. `detail` is for
people and may be worded better tomorrow. Added where they help: `errors: [{{"field", "reason"}}]`
for wrong fields, `availableActions` for what is possible instead, `pageUrl` where the customer
can't be asked in the app but can be sent the link, `upstream: {{"code", "traceId"}}` for what Vipps
said (quote that `traceId` to Vipps).

A request with an `Idempotency-Key` that was answered 5xx may be sent again as it is.

| code | status | when | what to do |
|---|---|---|---|
"""

_ERRORS_END = """
To Vipps the receiver says only a status: 200 stored, 401 not proven, 405, 413, 503 try again. Why a
webhook was refused stands in the log, and nowhere a sender could read it.
"""

_EVENTS = f"""\
# Events

{_MADE}
One feed, one order; the same id and the same bytes as webhook, page, stream and in a broker. As
JSON Schema they stand in [events.schema.json](events.schema.json), as AsyncAPI at `/asyncapi.json`.
Members are only ever added.

| member | is |
|---|---|
| `id` | the event's, the same on every channel and every try |
| `type` | one of the list below |
| `timestamp` | when it was recorded: RFC 3339 in UTC, to the millisecond |
| `sequence` | that of the invoice; 0 where there is none |
| `data` | what it tells |

A subscription's `eventTypes` and the feed's `types` take the types, `{EVERY_INVOICE}` and
`{EVERYTHING}`. An event of a transition has `data.transition`, another one of an invoice
`data.reason`.

| type | tells | `data` |
|---|---|---|
"""

_API = f"""\
# The API

{_MADE}
The same as OpenAPI 3.1 is at `/openapi.json`, in a browser at `/docs`. `Authorization: Bearer bb_…`
says which sales unit it is, and may do what its
scopes say. Refusals are explained in [errors.md](errors.md), events in
[events.md](events.md). What *takes conditions* honours `Idempotency-Key` and `If-Match`.
"""


def pages() -> Mapping[str, str]:
    """Return every page by the name of its file."""
    return {"errors.md": _errors(), "events.md": _events(), "api.md": _api()}


def _errors() -> str:
    rows = (
        f"| `{code}` | {one.status} | {one.when} | {one.remedy} |\n"
        for code, one in EXPLAINED.items()
    )
    return _ERRORS + "".join(rows) + _ERRORS_END


def _events() -> str:
    return _EVENTS + "".join(_event(event_type) for event_type in MEANINGS)


def _event(event_type: str) -> str:
    data = openapi()["components"]["schemas"][event_type]["properties"]["data"]
    members = ", ".join(f"`{name}`" for name in data.get("properties", {}))
    return f"| `{event_type}` | {MEANINGS[event_type]} | {members} |\n"


def _api() -> str:
    return _API + "".join(part for group in GROUPS for part in _group(group))


def _group(group: str) -> Iterator[str]:
    yield f"\n## {group}\n"
    for path, methods in OPERATIONS.items():
        if group_of(path) == group:
            for method, operation in methods.items():
                yield "".join(_operation(path, method, operation))


def _operation(path: str, method: str, operation: Operation) -> Iterator[str]:
    scope = "" if operation.is_open else f", scope `{scope_of(method, operation)}`"
    yield f"\n### {operation.summary}\n\n`{method} {path}`{scope}\n"
    if operation.says:
        yield f"\n{operation.says}\n"
    if operation.takes_conditions:
        yield "\nTakes conditions.\n"
    if operation.query:
        yield "\n| parameter | is |\n|---|---|\n"
        yield from (_parameter(one) for one in operation.query)
    if operation.body is not None:
        yield from _members(schema_of(operation.body))
    for example in operation.examples.values():
        body = orjson.dumps(example.value, option=orjson.OPT_INDENT_2).decode()
        yield f"\n{example.says}\n\n```json\n{body}\n```\n"
    yield "\n| answer | is |\n|---|---|\n"
    for status, replies in operation.answers.items():
        yield from (f"| {status} | {one.says}{_media(one.media_type)} |\n" for one in replies)
    yield from _refusals(codes_of(path, method, operation))


def _members(schema: Mapping[str, Any]) -> Iterator[str]:
    """Say what may stand in a body."""
    known = openapi()["components"]["schemas"]
    body = known[schema["$ref"].removeprefix(SCHEMA)]
    if body.get("properties"):
        yield "\n| member | is |\n|---|---|\n"
    for name, member in body.get("properties", {}).items():
        required = "; required" if name in body.get("required", ()) else ""
        words = member.get("description", "").removesuffix(".").replace("Else", "else")
        yield f"| `{name}` | {_type(member)}{required}{f'; {words}' if words else ''} |\n"


def _type(schema: Mapping[str, Any]) -> str:
    """Say in a few words of which type something is."""
    if "$ref" in schema:
        return f"`{schema['$ref'].removeprefix(SCHEMA)}`"
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"`{one}`" for one in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}"
    kind = schema["type"] if isinstance(schema["type"], str) else " or ".join(schema["type"])
    return f"{kind}, {schema['format']}" if "format" in schema else kind


def _refusals(codes: Iterable[str]) -> Iterator[str]:
    by_status: dict[int, list[str]] = {}
    for code in sorted(codes, key=lambda one: (EXPLAINED[one].status, one)):
        by_status.setdefault(EXPLAINED[code].status, []).append(f"`{code}`")
    yield from (f"| {status} | {', '.join(named)} |\n" for status, named in by_status.items())


def _media(media_type: str) -> str:
    return "" if media_type == JSON else f" `{media_type}`"


def _parameter(one: Parameter) -> str:
    return f"| `{one.name}` | {one.says}{_limits(one.schema)} |\n"


def _limits(schema: Mapping[str, Any]) -> str:
    """Say what a parameter may be, in words."""
    words = []
    if "maximum" in schema:
        words.append(f"{schema['minimum']} to {schema['maximum']}")
    if "default" in schema:
        words.append(f"else {schema['default']}")
    allowed = schema.get("enum") or schema.get("items", {}).get("enum")
    if allowed:
        words.append(", ".join(f"`{one}`" for one in allowed))
    return f" ({'; '.join(words)})" if words else ""
