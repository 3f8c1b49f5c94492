"""Uvicorn's protocol with a shorter way for calls that are answered at once.

A call of an API is one synchronous piece. Uvicorn makes a task, an event and a cycle for it
and writes head and body one by one: with them, most of a payment's time was not the
sandbox's own (tests/benchmarks/sandbox_rate.py). Whatever is special about a request, and
all pages, go the long way; nobody who calls can tell which of the two it was.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple, cast

from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from service.sandbox.calls import Endpoint, json_response
from service.sandbox.store import Store
from service.sandbox.world import World

# A larger body is read piece by piece, as fast as somebody takes it.
_BODY_BYTES_MAX = 65_536
# By this name a server finds the endpoints in the state that the app's lifespan gives it.
STATE = "betalbar.sandbox.endpoints"

_LOG = logging.getLogger("betalbar.sandbox")


class Found(NamedTuple):
    """The endpoint of a path, and what stands in the places of that path."""

    endpoint: Endpoint
    params: Mapping[str, str]


class Endpoints:
    """Find what answers a call, as the app's own routes would."""

    def __init__(self, routes: Sequence[BaseRoute], world: World) -> None:
        self._routes = [
            (route.path_regex, route.methods or set(), route.endpoint)
            for route in routes
            if isinstance(route, Route) and isinstance(route.endpoint, Endpoint)
        ]
        self._world = world
        self.store = world.store

    def find(self, method: str, path: str) -> Found | None:
        """Return who answers, or None where an answer may take its time."""
        if self._world.chaos.plan.timeout_after_acting:
            return None
        for pattern, methods, endpoint in self._routes:
            # The first that fits the path decides; another method of it stands behind.
            if (match := pattern.match(path)) is not None and method in methods:
                return Found(endpoint, match.groupdict())
        return None


class SandboxProtocol(HttpToolsProtocol):
    """Serve one connection; give it to uvicorn as `http`."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._endpoints: Endpoints | None = app_state.get(STATE)
        if self._endpoints is not None:
            self.app = partial(_after_those_before, self._endpoints.store, self.app)
        # None on the long way.
        self._found: Found | None = None
        self._body = b""

    def on_headers_complete(self) -> None:
        """Choose the way, now that it is known what is asked for."""
        self._found = self._find()
        if self._found is None:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        if self._found is None:
            super().on_body(body)
        else:
            self._body += body

    def on_message_complete(self) -> None:
        """Answer, once what changed is kept: those before on this connection come first."""
        if self._found is None:
            super().on_message_complete()
            return
        answer = self._answer(self._found)
        self._body = b""
        assert self._endpoints is not None  # noqa: S101 - for the type checker.
        self._endpoints.store.when_kept(partial(self._tell, answer))

    def _find(self) -> Found | None:
        if self._endpoints is None or self._is_special():
            return None
        target, _, query = self.url.partition(b"?")
        method, path = self.parser.get_method().decode(), target.decode("ascii")
        found = self._endpoints.find(method, path)
        if found is not None:
            self.scope["method"] = method
            self.scope["path"] = path
            self.scope["query_string"] = query
        return found

    @property
    def _is_busy(self) -> bool:
        # Somebody is on the long way, and whoever comes now has to queue behind.
        return self.cycle is not None and not self.cycle.response_complete

    def _is_special(self) -> bool:
        return (
            self._is_busy
            or self.flow.write_paused
            or self.expect_100_continue
            or b"%" in self.url
            or b"#" in self.url
            or not self.parser.should_keep_alive()
            or self.parser.should_upgrade()
            or _body_bytes(self.headers) > _BODY_BYTES_MAX
        )

    def _answer(self, found: Found) -> Response:
        try:
            scope = cast(Scope, self.scope)
            return found.endpoint.answer(scope, found.params, body=self._body)
        except Exception:
            # As uvicorn does for an app: a fault of ours ends a call, never the server.
            _LOG.exception("the sandbox could not answer a call")
            return _trouble()

    def _tell(self, answer: Response, failure: Exception | None) -> None:
        if failure is not None:
            _LOG.error("the sandbox could not write its file", exc_info=failure)
        if self.transport.is_closing():
            return
        told = answer if failure is None else _trouble()
        head = [STATUS_LINE[told.status_code]]
        for name, value in (*self.server_state.default_headers, *told.raw_headers):
            head += (name, b": ", value, b"\r\n")
        self.transport.write(b"".join((*head, b"\r\n", told.body)))
        if not self._is_busy:  # Else that would start the next of those on the long way.
            self.on_response_complete()


async def _after_those_before(
    store: Store, app: ASGIApp, scope: Scope, receive: Receive, send: Send
) -> None:
    # Answers leave a connection in the order of its requests: who goes the long way starts
    # after all have been told who wait for the file.
    with suppress(sqlite3.Error):
        await store.kept()
    await app(scope, receive, send)


def _body_bytes(headers: list[tuple[bytes, bytes]]) -> int:
    for name, value in headers:
        if name == b"content-length":
            return int(value)
        if name == b"transfer-encoding":
            return _BODY_BYTES_MAX + 1
    return 0


def _trouble() -> Response:
    return json_response({"statusCode": 500, "message": "Internal server error"}, 500)
