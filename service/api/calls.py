"""One call of a merchant's system, and the way every call takes through the service."""

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import structlog
from anyio import to_thread
from sqlmodel import Session
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.api.answers import Answer, response
from service.api.auth import Caller, authenticate
from service.api.problems import http_problem_response, kind_of, problem_response
from service.context import Context
from service.ids import new_id

T = TypeVar("T")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Call:
    """A request of a known caller."""

    context: Context
    caller: Caller
    request: Request

    @property
    def path_part(self) -> str:
        """Return the part of the path that the route leaves open."""
        return str(next(iter(self.request.path_params.values())))

    async def read(self, work: Callable[[Session], T]) -> T:
        """Return what `work` reads, on a thread, in one snapshot of the database."""
        return await to_thread.run_sync(_read, self.context, work)


Handler = Callable[[Call], Awaitable[Answer | Response]]
OpenHandler = Callable[[Request], Awaitable[Answer | Response]]


def keyed_route(context: Context, path: str, handlers: Mapping[str, Handler]) -> Route:
    """Return the route of one address, its handlers by method, for callers with a key."""

    async def answer(request: Request) -> Answer | Response:
        caller = await to_thread.run_sync(_authenticate, context, request)
        return await _handler(handlers, request)(Call(context, caller, request))

    return _route(path, list(handlers), answer)


def open_route(path: str, handler: OpenHandler) -> Route:
    """Return the route of an address that anybody may read."""
    return _route(path, ["GET"], handler)


async def answer_http_error(request: Request, error: Exception) -> Response:
    """Return what the router refuses (404, 405) as a problem document."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    headers = error.headers if isinstance(error, HTTPException) else None
    return http_problem_response(status, headers, new_id("trc"))


def _route(path: str, methods: list[str], handler: OpenHandler) -> Route:
    async def endpoint(request: Request) -> Response:
        trace_id, begun = new_id("trc"), time.monotonic()
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


def _handler(handlers: Mapping[str, Handler], request: Request) -> Handler:
    return handlers["GET" if request.method == "HEAD" else request.method]


def _authenticate(context: Context, request: Request) -> Caller:
    with context.database.snapshot() as session:
        return authenticate(session, request.scope["headers"])


def _read(context: Context, work: Callable[[Session], T]) -> T:
    with context.database.snapshot() as session:
        return work(session)


def _log_unforeseen(error: Exception, trace_id: str) -> None:
    """Log what is our fault; the log itself keeps an error's places and drops its text."""
    if kind_of(error).status == 500:
        log.error("api_call_failed", trace_id=trace_id, exc_info=error)
