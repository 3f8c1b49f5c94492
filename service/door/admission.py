"""Calls that would wait too long for a thread are refused at once.

Everything but webhooks does its work on threads, of which there are few. Without a limit a flood
of calls would queue for minutes, and each caller would have gone before the answer came. Webhooks
have a queue of their own (service/group_commit.py), and a probe must see a full service as alive.
"""

from anyio import to_thread
from starlette.types import ASGIApp, Receive, Scope, Send

from service.door.answers import send_overloaded
from service.door.limits import HURRIED_PATH

# Some two seconds of work on a small machine.
WAITING_MAX = 200

_NEVER_REFUSED = (HURRIED_PATH, "/healthz")


class Admission:
    """An ASGI middleware: 503 while too many wait for a thread."""

    def __init__(self, app: ASGIApp) -> None:
        """Stand before an application."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or answer 503."""
        if scope["type"] == "http" and not scope["path"].startswith(_NEVER_REFUSED) and _is_full():
            await send_overloaded(send)
        else:
            await self._app(scope, receive, send)


def _is_full() -> bool:
    limiter = to_thread.current_default_thread_limiter()
    # Reading how many wait costs more than to see that nobody does.
    return limiter.available_tokens <= 0 and limiter.statistics().tasks_waiting >= WAITING_MAX
