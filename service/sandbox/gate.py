"""The way every API call takes: chaos, keys, limits, the call itself, and its answer."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any, NamedTuple

import orjson
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from service.sandbox.calls import JSON, Call, Endpoint, json_response
from service.sandbox.fields import Faults
from service.sandbox.problems import Denied, Refused, plain
from service.sandbox.tokens import Tokens
from service.sandbox.world import World

PROBLEM = "application/problem+json"
_SYSTEM_HEADERS = [
    (f"Vipps-System-{part}", f"vipps-system-{part.lower()}")
    for part in ("Name", "Version", "Plugin-Name", "Plugin-Version")
]


class Shape(NamedTuple):
    """How an API says no: the body made of refusal, path and trace id, and its type."""

    render: Callable[[Refused, str, str], dict[str, Any]]
    media_type: str


Handle = Callable[[Call], Response]
# Passes, or raises Denied, for these headers at that real time.
Admit = Callable[[Mapping[str, str], datetime], None]


class Silence(Response):
    """The answer that never comes: chaos acted and then lets the caller wait.

    After `silence_s` a gateway's 504 ends the wait, which says as little of the outcome.
    """

    def __init__(self, silence_s: float) -> None:
        super().__init__(status_code=504)
        self._silence_s = silence_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Wait for the caller to hang up, or else answer 504."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._silence_s):
                while (await receive())["type"] != "http.disconnect":
                    pass
                return
        await super().__call__(scope, receive, send)


class Gate:
    """Stand in front of the APIs of one sandbox."""

    def __init__(self, world: World, tokens: Tokens) -> None:
        self.world = world
        self.tokens = tokens

    def route(
        self, path: str, method: str, *, handle: Handle, shape: Shape, admit: Admit | None = None
    ) -> Route:
        """Return the route of one API operation, for whom `admit` lets in.

        Without it, a token and a subscription key are needed.
        """

        def answer(call: Call) -> Response:
            fate = self.world.chaos.call_fate()
            if fate.status is not None:
                return _trouble(fate.status)
            answer = self._answer(call, handle, shape=shape, admit=admit or self.tokens.check)
            return Silence(self.world.settings.silence_s) if fate.is_silent else answer

        now, kept = self.world.clock.real_now, self.world.store.kept
        return Route(path, Endpoint(answer, now=now, kept=kept), methods=[method])

    def _answer(self, call: Call, handle: Handle, *, shape: Shape, admit: Admit) -> Response:
        try:
            admit(call.headers, call.now)
            return handle(call)
        except Denied as denied:
            return _denial(denied)
        except Refused as refused:
            return self._refusal(refused, call, shape=shape)
        except (RecursionError, orjson.JSONEncodeError):
            return self._refusal(plain(400, "The JSON is nested too deeply."), call, shape=shape)

    def _refusal(self, refused: Refused, call: Call, *, shape: Shape) -> Response:
        body = shape.render(refused, call.path, self.world.ids.trace_id())
        return json_response(body, refused.status, media_type=shape.media_type)


def problem(refused: Refused, path: str, trace_id: str) -> dict[str, Any]:
    """Render a refusal as ePayment and Webhooks do."""
    # Vipps names its own path there, which is without the API's prefix.
    return refused.as_problem(path.removeprefix("/epayment").removeprefix("/webhooks"), trace_id)


def order_problem(refused: Refused, path: str, trace_id: str) -> dict[str, Any]:
    """Render a refusal as Order Management does."""
    return refused.as_order_problem(trace_id)


PROBLEM_SHAPE = Shape(problem, PROBLEM)
ORDER_SHAPE = Shape(order_problem, JSON)


def check_headers(call: Call, *, system_max: int) -> None:
    """Pass if the headers every API asks for are well formed. Raises: Refused."""
    faults = Faults()
    msn = call.msn
    is_msn = msn.isascii() and msn.isdigit() and 4 <= len(msn) <= 10
    reason = "The header must match the regular expression '^[0-9]{4,10}$'."
    faults.expect(is_msn, "Merchant-Serial-Number", reason=reason)
    check_system_headers(call, faults, most=system_max)
    faults.settle()


def check_system_headers(call: Call, faults: Faults, *, most: int) -> None:
    """Note which of the headers that name the caller's system are too long."""
    for header, name in _SYSTEM_HEADERS:
        if len(call.headers.get(name, "")) > most:
            reason = f"The header must be at most {most} characters."
            faults.expect(False, header, reason=reason)


def _denial(denied: Denied) -> Response:
    answer = json_response(denied.as_json(), denied.status)
    if denied.retry_after_s is not None:
        answer.headers["Retry-After"] = str(denied.retry_after_s)
    return answer


def _trouble(status: int) -> Response:
    if status == 429:
        return _denial(Denied(429, "Rate limit is exceeded.", retry_after_s=1))
    return _denial(Denied(status, "Internal server error"))
