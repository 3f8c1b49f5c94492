"""An answer as plain values, so that it can be stored and given again, byte for byte."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from starlette.responses import Response

# No cache may keep what a key was needed for, and no browser may guess another type (T44).
_ALWAYS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, the body's bytes, and the headers that belong to this answer only."""

    status: int
    body: bytes = field(default=b"", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)
    customer_id: str | None = None  # who is shown in the body


def json_answer(
    value: Any, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Answer:
    """Return a value as a JSON answer."""
    return Answer(status, orjson.dumps(value), headers or {})


def response(
    answer: Answer | Response, trace_id: str, *, media_type: str = "application/json"
) -> Response:
    """Return the HTTP response of an answer, with the headers that each one has.

    One that is a response already is written bit by bit, and is no value."""
    headers = {**_ALWAYS, "X-Trace-Id": trace_id, **answer.headers}
    if isinstance(answer, Response):
        answer.headers.update(headers)
        return answer
    if answer.body:
        headers.setdefault("Content-Type", media_type)
    return Response(answer.body, answer.status, headers)
