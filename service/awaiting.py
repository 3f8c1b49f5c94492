"""Waiting, within one request, for something that another task or process is about to commit."""

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

from anyio import to_thread

from service.context import Context

T = TypeVar("T")

# A look costs a few indexed reads. The feed's signal wakes earlier, in this process; another
# process's work shows at the next look.
_STEP_S = 0.1
# On a busy feed a signal comes with every commit; so often is enough.
_PAUSE_S = 0.02


async def first_true(context: Context, look: Callable[[], T], *, wait_s: float) -> T | None:
    """Return the first true value of `look`, or None when the time is up.

    `look` runs on a thread; no transaction is held between two looks."""
    deadline = time.monotonic() + wait_s
    listener = context.wake.events.listen()
    try:
        while True:
            if found := await to_thread.run_sync(look):
                return found
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                return None
            await asyncio.sleep(min(_PAUSE_S, left_s))
            await listener.wait(min(_STEP_S - _PAUSE_S, left_s))
    finally:
        listener.close()
