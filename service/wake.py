"""Signals: "there is something to do", without waiting for the next look.

Work is always found in the database; a lost signal costs a look's delay, never an event. What is
set here is also said to the other processes, and what they say is heard here
(service/neighbours.py).
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable
from time import monotonic

# How often a loop looks that can't hear of what others have done, or that waits for a row which
# is due and can't be had yet.
LOOK_S = 1.0


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
        self._is_news = False

    def bind(self) -> None:
        """Attach to the running loop, so that other threads can reach it."""
        self._loop = asyncio.get_running_loop()

    def set(self) -> None:
        """Wake every task that waits, if the loop runs; it is news for other processes."""
        self._is_news = True
        self.hear()

    def hear(self) -> None:
        """Wake every task that waits: another process has done something."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has just closed
                self._loop.call_soon_threadsafe(self._wake)

    def take_news(self) -> bool:
        """Tell whether it was set since this was asked before."""
        is_news, self._is_news = self._is_news, False
        return is_news

    def listen(self) -> "Listener":
        """Return a listener that misses no signal from now on."""
        return self.listen_with(asyncio.Event())

    def listen_with(self, event: asyncio.Event) -> "Listener":
        """Return a listener by an event of the caller's, which may hear several signals."""
        self._waiting.add(event)
        return Listener(event, self._waiting)

    def _wake(self) -> None:
        for listener in self._waiting:
            listener.set()


class Listener:
    """One task's ear; a signal set while the task works is heard at the next wait."""

    def __init__(self, event: asyncio.Event, among: set[asyncio.Event]) -> None:
        """Take the event and the set to leave at the end."""
        self._event = event
        self._among = among

    async def wait(self, timeout_s: float) -> bool:
        """Return at the next signal, or when the time is up; tell whether it was a signal."""
        is_heard = await is_set_within(self._event, timeout_s)
        self._event.clear()
        return is_heard

    def close(self) -> None:
        """Stop listening."""
        self._among.discard(self._event)


class Wake:
    """The signals of one process, and how long its loops may rest without one."""

    def __init__(self) -> None:
        """Start with every signal unset, and nobody who says what other processes do."""
        self.commands = Signal()  # a command was decided, or one was settled
        self.events = Signal()  # the feed has grown
        self.deliveries = Signal()  # a delivery is due
        self.invoices = Signal()  # when something is due by itself has changed
        self.recovery = Signal()  # a database was restored
        self.look_s = LOOK_S
        self._by_name = {
            "commands": self.commands,
            "events": self.events,
            "deliveries": self.deliveries,
            "invoices": self.invoices,
            "recovery": self.recovery,
        }

    @property
    def names(self) -> frozenset[str]:
        """Return the names of all signals."""
        return frozenset(self._by_name)

    def bind(self) -> None:
        """Attach every signal to the running loop."""
        for signal in self._by_name.values():
            signal.bind()

    def set_all_work(self) -> None:
        """Set every signal of daily work: anything may have become due."""
        for signal in (self.commands, self.events, self.deliveries, self.invoices):
            signal.set()

    def listen_with(self, event: asyncio.Event) -> None:
        """Have every signal set this event, for good."""
        for signal in self._by_name.values():
            signal.listen_with(event)

    def hear(self, names: Iterable[str]) -> None:
        """Wake whom these concern; a newer version may say names that this one does not know."""
        for name in names:
            if name in self._by_name:
                self._by_name[name].hear()

    def take_news(self) -> frozenset[str]:
        """Return the names of what was set since this was asked before."""
        return frozenset(name for name, signal in self._by_name.items() if signal.take_news())


async def rest(
    hears: Callable[[float], Awaitable[bool]],
    wake: Wake,
    *,
    stop: asyncio.Event,
    due_in_s: Callable[[], float],
) -> None:
    """Return once there may be something to do: heard, or due, or not looked for in a long time.

    `due_in_s` is asked each second: business time can be turned. What is due already and could
    not be done yet is worth the next look after `LOOK_S`."""
    if due_in_s() <= 0:
        await hears(LOOK_S)
        return
    begun = monotonic()
    while not stop.is_set():
        left = min(due_in_s(), begun + wake.look_s - monotonic())
        if left <= 0 or await hears(min(left, LOOK_S)):
            return
