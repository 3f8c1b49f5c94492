"""What is said to those who don't get in, as whole answers: no part of the service is asked.

They look like the API's own refusals (docs/errors.md), and each ends its connection.
"""

from http import HTTPStatus

import orjson
from starlette.types import Send

from service.ids import new_id
from service.problem_frame import MEDIA_TYPE, RETRY_AFTER_S, problem_frame

# Status: code and title.
REFUSALS = {
    400: ("not_http", "This is not HTTP"),
    408: ("request_too_slow", "The request took too long to arrive"),
    431: ("headers_too_large", "The headers are too large, or too many"),
    503: ("overloaded", "As much is under way as can be done; try again shortly"),
}


def raw_answer(status: int) -> bytes:
    """Return the bytes of a refusal."""
    headers, body = _answer(status)
    lines = [b"HTTP/1.1 %d %s" % (status, HTTPStatus(status).phrase.encode())]
    lines += [name + b": " + value for name, value in headers]
    return b"\r\n".join([*lines, b"connection: close", b"", body])


async def send_overloaded(send: Send) -> None:
    """Answer 503 as an application."""
    headers, body = _answer(503)
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _answer(status: int) -> tuple[list[tuple[bytes, bytes]], bytes]:
    code, title = REFUSALS[status]
    frame = problem_frame(code, title=title, status=status, trace_id=new_id("trc"))
    body = orjson.dumps({**frame, "detail": title})
    headers = [
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
    ]
    if status == 503:
        headers.append((b"retry-after", str(RETRY_AFTER_S).encode()))
    return headers, body
