"""What set something going: the request, and its trace, kept with all that follows from it.

A request's id stands in the log of its answer, of the commands that it leads to and of the
deliveries that tell of it, also in another process and after a restart: their rows carry it.
"""

import re
from contextvars import ContextVar
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.ids import new_id

HEADER = b"x-request-id"

# What proxies make: 32 hexadecimal digits (nginx), a UUID, or an id of ours. Nothing else is
# taken over, since a stranger's words, or somebody's phone number, would stand in the log (I11).
_WELL_FORMED = re.compile(
    rb"[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|(req|trc)_[0-9A-HJKMNP-TV-Z]{26}"
)


@dataclass(frozen=True, slots=True)
class Cause:
    """A request's id, and in W3C's form the span in which it was answered; both may be empty."""

    request_id: str = ""
    traceparent: str = ""

    @property
    def text(self) -> str | None:
        """Return it as it is kept in a row."""
        return f"{self.request_id} {self.traceparent}".rstrip() or None


def cause_of(text: str | None) -> Cause:
    """Return what a row has kept."""
    request_id, _, traceparent = (text or "").partition(" ")
    return Cause(request_id, traceparent)


NOBODY = Cause()
_current: ContextVar[Cause] = ContextVar("cause", default=NOBODY)


def current_cause() -> Cause:
    """Return what set going what runs now; an empty one where nobody asked."""
    return _current.get()


def current_request_id() -> str:
    """Return the id of the request that is being answered, or a new one for want of it."""
    return _current.get().request_id or new_id("trc")


def continue_in(traceparent: str) -> None:
    """Make what the request causes from now on part of a trace; empty: of none."""
    _current.set(Cause(_current.get().request_id, traceparent))


class RequestIds:
    """Gives every request an id: that of the proxy before us, or one of our own."""

    def __init__(self, app: ASGIApp) -> None:
        """Take the application that answers."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with the request's id in a header, and in the log of all that it causes."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _given(scope) or new_id("trc")
        named = (HEADER, request_id.encode())

        async def send_named(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), named]
            await send(message)

        token = _current.set(Cause(request_id))
        try:
            await self._app(scope, receive, send_named)
        finally:
            _current.reset(token)


def _given(scope: Scope) -> str:
    given = [value for name, value in scope["headers"] if name == HEADER]
    return given[0].decode() if len(given) == 1 and _WELL_FORMED.fullmatch(given[0]) else ""
