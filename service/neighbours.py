"""What the processes on one database tell each other: that there is something to do.

Nobody leads and nobody is asked. Each says what it has committed, after the commit, and each hears
the others; its loops look rarely then. While nothing is heard they look every second, as if there
were no such thing.
"""

import asyncio
import os

import sqlalchemy as sa
import structlog

from service.context import Context
from service.errors import DatabaseAway
from service.store.channel import Channel, open_channel, say_once
from service.wake import LOOK_S, is_set_within

# What a word lost with a process that died costs, and all that a service at rest asks for.
RARELY_S = 30.0
# A word for many commits: what comes first is said at once, what comes then together.
PAUSE_S = 0.05
_AGAIN_MAX_S = 30.0

log = structlog.get_logger(__name__)


class Neighbours:
    """One process's ear and mouth; `run` it as a task, and `end` it last."""

    def __init__(self, context: Context, *, rarely_s: float = RARELY_S) -> None:
        """`rarely_s`: how often the loops look while the others are heard."""
        self._context = context
        self._wake = context.wake
        self._rarely_s = rarely_s
        self._stirred = asyncio.Event()
        self._end = asyncio.Event()
        # What was committed before this process heard anybody, and by one that died unsaid.
        self._unsaid = context.wake.names

    def end(self) -> None:
        """Let `run` say what is left, and return."""
        self._end.set()
        self._stirred.set()

    async def run(self) -> None:
        """Hear the others until it is ended."""
        self._wake.listen_with(self._stirred)
        try:
            if self._context.database.is_sqlite:
                await self._watch_the_file()
            else:
                await self._listen_again_and_again()
        finally:
            self._wake.look_s = LOOK_S

    async def _listen_again_and_again(self) -> None:
        tries = 0
        while not self._end.is_set():
            try:
                async with open_channel(self._context.settings.direct_url) as channel:
                    tries = 0
                    self._begin()
                    await self._exchange(channel)
            except DatabaseAway as error:
                log.warning("not_listening", reason=str(error.__cause__ or error))
            except Exception:
                # The worker boundary: who hears nothing looks more often, and tries again.
                log.exception("not_listening")
            self._wake.look_s = LOOK_S
            await is_set_within(self._end, min(0.5 * 2 ** min(tries, 10), _AGAIN_MAX_S))
            tries += 1

    def _begin(self) -> None:
        """Rest from now on, after a look at what was said while nobody listened."""
        self._wake.look_s = self._rarely_s
        self._wake.hear(self._wake.names)
        log.info("listening")

    async def _exchange(self, channel: Channel) -> None:
        while True:
            self._stirred.clear()
            is_last = self._end.is_set()
            self._unsaid |= self._wake.take_news()
            if is_said := bool(self._unsaid):
                await channel.say(self._unsaid)
                self._unsaid = frozenset()
            if is_last:
                return
            heard = await channel.heard()
            self._wake.hear(heard)
            if is_said or heard:
                await is_set_within(self._end, PAUSE_S)
            else:
                await channel.wait(self._stirred)

    async def _watch_the_file(self) -> None:
        """SQLite's log changes with every commit, whoever makes it: to see that asks nothing."""
        path = f"{sa.make_url(self._context.settings.database_url).database}-wal"
        self._begin()
        seen = _stamp(path)
        while not await is_set_within(self._end, LOOK_S):
            if (now := _stamp(path)) != seen:
                seen = now
                self._wake.hear(self._wake.names)


def tell_neighbours(context: Context) -> None:
    """Say what this process has committed, where it does nothing else: a command's last step."""
    if context.database.is_sqlite:
        return
    if news := context.wake.take_news():
        try:
            say_once(context.settings.direct_url, news)
        except DatabaseAway:
            log.warning("not_told", reason="DatabaseAway")


def _stamp(path: str) -> tuple[int, int]:
    try:
        found = os.stat(path)
    except OSError:
        return (0, 0)
    return (found.st_mtime_ns, found.st_size)
