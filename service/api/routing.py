"""The way every call takes through the service."""

import time
from collections.abc import Mapping

import structlog
from anyio import to_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.api.answers import Answer, response
from service.api.auth import authenticate
from service.api.calls import Call, Handler, OpenHandler
from service.api.contract.table import OPERATIONS, scope_of
from service.api.problems import http_problem_response, kind_of, problem_response
from service.api.query import Query
from service.api.rates import KeyRates
from service.api.writing import Writes
from service.cause import continue_in, current_request_id
from service.context import Context

log = structlog.get_logger(__name__)


def keyed_route(
    context: Context, path: str, handlers: Mapping[str, Handler], *, rates: KeyRates, writes: Writes
) -> Route:
    """Return the route of one address, its handlers by method, for callers with a key.

    Raises: KeyError, where no document describes it."""
    served = {method: (OPERATIONS[path][method], handler) for method, handler in handlers.items()}

    async def answer(request: Request) -> Answer | Response:
        caller = await to_thread.run_sync(authenticate, context, request.scope["headers"])
        rates.spend(caller.key_id)
        method = "GET" if request.method == "HEAD" else request.method
        operation, handler = served[method]
        caller.require(scope_of(method, operation))
        query = Query(request, *operation.query_names)
        with context.traces.span(f"{method} {path}", kind="server") as span:
            continue_in(span.traceparent)
            return await handler(Call(context, caller, request, query, writes))

    return _route(path, list(handlers), answer)


def open_route(path: str, handler: OpenHandler) -> Route:
    """Return the route of an address that anybody may read."""
    return _route(path, ["GET"], handler)


async def answer_http_error(request: Request, error: Exception) -> Response:
    """Return what the router refuses (404, 405) as a problem document."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    headers = error.headers if isinstance(error, HTTPException) else None
    return http_problem_response(status, headers, current_request_id())


def _route(path: str, methods: list[str], handler: OpenHandler) -> Route:
    async def endpoint(request: Request) -> Response:
        trace_id, begun = current_request_id(), time.monotonic()
        try:
            answered = response(await handler(request), trace_id)
        except Exception as error:
            # The border of the service: whatever happens inside, the sender gets an answer.
            _log_unforeseen(error, trace_id)
            answered = problem_response(error, trace_id)
        log.info(
            "api_call",
            trace_id=trace_id,
            method=request.method,
            path=path,
            status=answered.status_code,
            latency_ms=round((time.monotonic() - begun) * 1000),
        )
        return answered

    return Route(path, endpoint, methods=methods)


def _log_unforeseen(error: Exception, trace_id: str) -> None:
    """Log what is our fault; the log itself keeps an error's places and drops its text."""
    if kind_of(error).status == 500:
        log.error("api_call_failed", trace_id=trace_id, exc_info=error)
