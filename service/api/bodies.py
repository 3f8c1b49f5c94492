"""A request's body: bounded, read strictly, and checked as a whole."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError
from starlette.requests import ClientDisconnect, Request

from service.api.errors import BodyTooLarge, NotJson
from service.api.schemas import Body, InvoiceIn
from service.errors import FieldError, InvalidInput
from webhooks import strict_json
from webhooks.errors import MalformedEvent

BODY_BYTES_MAX = 256 * 1024

# A body of 256 KiB could be wrong in a hundred thousand ways; more than these help nobody.
_ERRORS_MAX = 50
_FIELD_LENGTH_MAX = 120

B = TypeVar("B", bound=Body)


async def read_body(request: Request, *, bytes_max: int = BODY_BYTES_MAX) -> bytes:
    """Return the body's bytes; more than the limit is never read.

    Raises: BodyTooLarge, NotJson where the sender hung up."""
    told = request.headers.get("content-length", "")
    if told.isdigit() and (len(told) > 12 or int(told) > bytes_max):
        raise BodyTooLarge(bytes_max)
    parts: list[bytes] = []
    size = 0
    try:
        async for part in request.stream():
            size += len(part)
            if size > bytes_max:
                raise BodyTooLarge(bytes_max)
            parts.append(part)
    except ClientDisconnect as error:
        raise NotJson("the body broke off") from error
    return b"".join(parts)


def parse_json(raw: bytes) -> Any:
    """Return the value of a JSON body; no body is an empty object. Raises: NotJson."""
    if not raw:
        return {}
    try:
        return strict_json.loads(raw, bytes_max=BODY_BYTES_MAX)
    except MalformedEvent as error:
        raise NotJson(f"the body is {error.reason}") from error


def check(model: type[B], value: Any) -> B:
    """Return the body as a value of its model. Raises: InvalidInput, naming each field."""
    try:
        body = model.model_validate(value)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        raise InvalidInput(*(_field_error(e) for e in found[:_ERRORS_MAX])) from None
    if isinstance(body, InvoiceIn):
        contradictions = list(body.contradictions())
        if contradictions:
            raise InvalidInput(*contradictions)
    return body


def _field_error(error: Mapping[str, Any]) -> FieldError:
    """Return one of pydantic's findings in the words of the request."""
    reason = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        reason = "is not a known field"
    if error["type"] == "model_type":
        reason = "is not a JSON object"
    return FieldError(_path(error["loc"]), reason)


def _path(location: tuple[int | str, ...]) -> str:
    """Return `orderLines.0.name`; the body itself is `body`."""
    parts = (str(part) for part in location)
    return ".".join(parts)[:_FIELD_LENGTH_MAX] or "body"
