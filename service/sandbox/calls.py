"""One HTTP request, read to its end, and the answer that a plain function gives to it.

What happens between reading the body and the answer is one synchronous piece, so no two
calls are ever half done at once. This is ASGI without a framework's request in between:
at a thousand payments a second, that was a third of the work.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from starlette.datastructures import QueryParams
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.sandbox.problems import plain

JSON = "application/json"
# An image of 2 MB in base64 is the largest thing that Vipps takes.
BODY_BYTES_MAX = 3_145_728


# Not frozen: that alone would double the time it takes to make one.
@dataclass(slots=True)
class Call:
    """One call, read to its end; header names are lower case."""

    method: str
    path: str
    params: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    now: datetime
    query_string: bytes = b""

    @property
    def msn(self) -> str:
        """Return the sales unit the call is for, empty where none is named."""
        return self.headers.get("merchant-serial-number", "")

    @property
    def idempotency_key(self) -> str | None:
        """Return the idempotency key, if one was sent."""
        return self.headers.get("idempotency-key")

    @property
    def query(self) -> QueryParams:
        """Return what stands behind the question mark."""
        return QueryParams(self.query_string)

    def json_object(self) -> dict[str, Any]:
        """Return the body as a JSON object. Raises: Refused."""
        try:
            parsed = orjson.loads(self.body)
        except orjson.JSONDecodeError as error:
            raise plain(400, "The request body is not JSON.") from error
        if not isinstance(parsed, dict):
            raise plain(400, "The request body must be a JSON object.")
        return parsed


class BytesResponse(Response):
    """An answer whose bytes and type are known, made without the general case's detours."""

    def __init__(self, body: bytes, status: int, media_type: str) -> None:
        self.status_code = status
        self.body = body
        self.background = None
        self.raw_headers = [
            (b"content-length", b"%d" % len(body)),
            (b"content-type", media_type.encode("latin-1")),
        ]


class Endpoint:
    """Answer every call of one route with what a function says, once that is `kept`."""

    def __init__(
        self,
        answer: Callable[[Call], Response],
        *,
        now: Callable[[], datetime],
        kept: Callable[[], Awaitable[None]],
    ) -> None:
        self._answer = answer
        self._now = now
        self._kept = kept

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the body, answer; a caller who hung up before its end is owed nothing."""
        body = await _whole_body(receive)
        if body is None:
            return
        answer = self.answer(scope, scope["path_params"], body=body)
        await self._kept()
        await answer(scope, receive, send)

    def answer(self, scope: Scope, params: Mapping[str, str], *, body: bytes) -> Response:
        """Return the answer to a whole request; to be told once everything is kept."""
        if len(body) > BODY_BYTES_MAX:
            return json_response({"statusCode": 413, "message": "Too large"}, 413)
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        return self._answer(
            Call(
                scope["method"],
                scope["path"],
                params,
                headers,
                body,
                self._now(),
                scope["query_string"],
            )
        )


def json_response(body: object, status: int = 200, *, media_type: str = JSON) -> Response:
    """Return an answer with this JSON body."""
    return BytesResponse(orjson.dumps(body), status, media_type)


async def _whole_body(receive: Receive) -> bytes | None:
    # What is beyond the limit is not read: one byte more is enough to know.
    first = await receive()
    if first["type"] == "http.disconnect":
        return None
    body: bytes = first.get("body", b"")
    while first.get("more_body", False) and len(body) <= BODY_BYTES_MAX:
        first = await receive()
        if first["type"] == "http.disconnect":
            return None
        body += first.get("body", b"")
    return body
