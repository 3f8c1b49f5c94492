"""Errors as `application/problem+json` (RFC 9457): the only place that knows their status.

`code` is for programs and never changes; `detail` is for people. Nothing that was received is
repeated but the names of fields: answers end up in logs (I11).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

import orjson
from starlette.responses import Response

from service import errors
from service.api.answers import Answer, response
from service.api.errors import (
    BodyTooLarge,
    NotJson,
    TooManyUploads,
    UnsupportedMedia,
    UploadTooSlow,
)
from service.feed.watch import TooManyStreams
from service.problem_frame import MEDIA_TYPE, RETRY_AFTER_S, problem_frame
from statemachine import GuardFailed, MachineError, TransitionRefused


@dataclass(frozen=True, slots=True)
class Kind:
    """How one class of error looks from outside; `code` may be overruled by the error's own."""

    status: int
    code: str
    title: str


# A class without a line of its own takes the line of the nearest class above it.
KINDS: Mapping[type[Exception], Kind] = MappingProxyType(
    {
        NotJson: Kind(400, "not_json", "The body is not JSON"),
        errors.Unauthorized: Kind(401, "unauthorized", "A valid API key is needed"),
        errors.ScopeMissing: Kind(403, "scope_missing", "The API key may not do this"),
        errors.NotFound: Kind(404, "not_found", "Not found"),
        UploadTooSlow: Kind(408, "upload_too_slow", "The document came too slowly"),
        errors.Conflict: Kind(409, "conflict", "This can't be done now"),
        MachineError: Kind(409, "action_refused", "This can't be done now"),
        TransitionRefused: Kind(409, "action_refused", "This can't be done now"),
        GuardFailed: Kind(409, "action_refused", "This can't be done now"),
        errors.NoLongerKept: Kind(410, "no_longer_kept", "That is no longer kept"),
        errors.PreconditionFailed: Kind(412, "precondition_failed", "It has changed"),
        BodyTooLarge: Kind(413, "body_too_large", "The body is too large"),
        UnsupportedMedia: Kind(415, "unsupported_media", "The body has another type"),
        errors.InvalidInput: Kind(422, "invalid_input", "The request has a wrong field"),
        errors.TooManyRequests: Kind(429, "too_many_requests", "Slow down"),
        TooManyStreams: Kind(429, "too_many_streams", "As many streams as may be are open"),
        errors.ServiceError: Kind(500, "internal", "Something went wrong here"),
        errors.SettingsInvalid: Kind(500, "internal", "Something went wrong here"),
        errors.UpstreamError: Kind(502, "upstream_failed", "Vipps did not do it"),
        errors.UpstreamRejected: Kind(502, "upstream_rejected", "Vipps said no"),
        errors.UpstreamTimeout: Kind(504, "upstream_timeout", "Vipps did not answer"),
        TooManyUploads: Kind(503, "too_many_uploads", "Too many documents at once"),
        errors.Recovering: Kind(503, "recovering", "Restored, and reading at Vipps"),
        errors.DatabaseAway: Kind(503, "database_away", "Try again shortly"),
        errors.ReadTooLong: Kind(503, "read_too_long", "Ask for less"),
        errors.SchemaOutdated: Kind(503, "schema_outdated", "The service is being updated"),
    }
)


def kind_of(error: Exception) -> Kind:
    """Return how an error looks from outside; one that nobody foresaw looks like a 500."""
    known = (KINDS[cls] for cls in type(error).__mro__ if cls in KINDS)
    return next(known, KINDS[errors.ServiceError])


def problem_response(error: Exception, trace_id: str) -> Response:
    """Return the problem document of an error as a response."""
    kind = kind_of(error)
    body = {
        **_frame(kind, getattr(error, "code", kind.code), trace_id),
        "detail": _detail(error, kind),
        **_extras(error),
    }
    answer = Answer(kind.status, orjson.dumps(body), _headers(kind.status, error))
    return response(answer, trace_id, media_type=MEDIA_TYPE)


def http_problem_response(
    status: int, headers: Mapping[str, str] | None, trace_id: str
) -> Response:
    """Return the problem of what the router itself refuses: 404, 405 and the like."""
    title = HTTPStatus(status).phrase
    kind = Kind(status, title.lower().replace(" ", "_"), title)
    body = {**_frame(kind, kind.code, trace_id), "detail": HTTPStatus(status).description or title}
    answer = Answer(status, orjson.dumps(body), dict(headers or {}))
    return response(answer, trace_id, media_type=MEDIA_TYPE)


def _frame(kind: Kind, code: str, trace_id: str) -> dict[str, Any]:
    return problem_frame(code, title=kind.title, status=kind.status, trace_id=trace_id)


def _detail(error: Exception, kind: Kind) -> str:
    is_ours = isinstance(error, errors.ServiceError | MachineError)
    return str(error) if is_ours and kind.status != 500 else kind.title


def _extras(error: Exception) -> dict[str, Any]:
    extras: dict[str, Any] = {}
    if isinstance(error, errors.InvalidInput):
        extras["errors"] = [{"field": e.field, "reason": e.reason} for e in error.errors]
    if isinstance(error, errors.Conflict) and error.available_actions is not None:
        extras["availableActions"] = list(error.available_actions)
    if isinstance(error, errors.Conflict) and error.page_url is not None:
        extras["pageUrl"] = error.page_url
    if isinstance(error, errors.UpstreamRejected):
        answer = error.answer
        extras["upstream"] = {"code": answer.get("code"), "traceId": answer.get("traceId")}
    return extras


def _headers(status: int, error: Exception) -> dict[str, str]:
    if status == 401:
        return {"WWW-Authenticate": 'Bearer realm="betalbar"'}
    if status in (429, 503):
        return {"Retry-After": str(getattr(error, "retry_after_s", RETRY_AFTER_S))}
    return {}
