"""Signals inside one process: "there is something to do", without waiting for the next look.

Work is always found in the database; a lost signal costs a second, never an event.
"""

import asyncio
import contextlib


async def is_set_within(event: asyncio.Event, wait_s: float) -> bool:
    """Wait for an event, but not for longer; tell whether it is set.

    Not by `asyncio.wait_for`: until Python 3.12 it forgets that it was cancelled, if what it waits
    for comes in the same moment, and a task that forgets it never ends.
    """
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(wait_s):
            await event.wait()
    return event.is_set()


class Signal:
    """One thing to be woken for; set from any thread, awaited by any number of tasks."""

    def __init__(self) -> None:
        """Start unset, bound to no loop yet."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: set[asyncio.Event] = set()

    def bind(self) -> None:
        """Attach to the running loop, so that other threads can reach it."""
        self._loop = asyncio.get_running_loop()

    def set(self) -> None:
        """Wake every task that waits; before the loop runs, do nothing."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has just closed
                self._loop.call_soon_threadsafe(self._wake)

    def listen(self) -> "Listener":
        """Return a listener that misses no signal from now on."""
        listener = asyncio.Event()
        self._waiting.add(listener)
        return Listener(listener, self._waiting)

    def _wake(self) -> None:
        for listener in self._waiting:
            listener.set()


class Listener:
    """One task's ear; a signal set while the task works is heard at the next wait."""

    def __init__(self, event: asyncio.Event, among: set[asyncio.Event]) -> None:
        """Take the event and the set to leave at the end."""
        self._event = event
        self._among = among

    async def wait(self, timeout_s: float) -> None:
        """Return at the next signal, or when the time is up."""
        await is_set_within(self._event, timeout_s)
        self._event.clear()

    def close(self) -> None:
        """Stop listening."""
        self._among.discard(self._event)


class Wake:
    """The signals of one process."""

    def __init__(self) -> None:
        """Start with every signal unset."""
        self.commands = Signal()  # a command was decided, or one was settled
        self.events = Signal()  # the feed has grown
        self.deliveries = Signal()  # a delivery is due

    def bind(self) -> None:
        """Attach every signal to the running loop."""
        for signal in (self.commands, self.events, self.deliveries):
            signal.bind()
