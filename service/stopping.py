"""Knowing that the process stops, before the server waits for its open requests.

A server first waits for open requests and tells the application afterwards; a request that goes on
until it is told would then be cut off when the waiting is over.
"""

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def told_at_stop(tell: Callable[[], None]) -> Iterator[None]:
    """Have `tell` called on the running loop at a signal to stop; the server hears it as before.

    Outside of the main thread, and where nobody handles a signal, nothing is changed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    handlers = {number: handler for number, handler in before.items() if callable(handler)}

    def handle(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(tell)
        handlers[signal.Signals(number)](number, frame)

    for number in handlers:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
