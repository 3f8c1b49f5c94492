"""Tell open pages that something changed on their phone, as server-sent events."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

# A server that stops waits for open answers, so none stays open for long: the browser
# comes back by itself and loses nothing, since every answer begins with the version.
STREAM_S = 5.0
_COME_BACK_MS = 200
# A merchant who sends hundreds at once makes one change for whoever watches.
_GATHER_S = 0.05


class News:
    """Know who watches which phone."""

    def __init__(self, *, stream_s: float = STREAM_S) -> None:
        self._stream_s = stream_s
        self._watching: dict[str, set[asyncio.Event]] = {}

    def tell(self, phone_number: str | None) -> None:
        """Have all who watch that phone look again."""
        for news in self._watching.get(phone_number or "", ()):
            news.set()

    def tell_all(self) -> None:
        """Have everybody look again."""
        for watching in self._watching.values():
            for news in watching:
                news.set()

    async def stream(self, phone_number: str, version: Callable[[], str]) -> AsyncIterator[str]:
        """Yield the version of what the phone shows, now and whenever it changed."""
        news = asyncio.Event()
        self._watching.setdefault(phone_number, set()).add(news)
        try:
            yield f"retry: {_COME_BACK_MS}\n"
            async for _ in self._changes(news):
                yield f"data: {version()}\n\n"
        finally:
            self._forget(phone_number, news)

    async def _changes(self, news: asyncio.Event) -> AsyncIterator[None]:
        until = asyncio.get_running_loop().time() + self._stream_s
        yield
        # The time-out covers the waiting alone: around a yield it would hit the reader.
        with suppress(TimeoutError):
            while True:
                async with asyncio.timeout_at(until):
                    await news.wait()
                    await asyncio.sleep(_GATHER_S)
                news.clear()
                yield

    def _forget(self, phone_number: str, news: asyncio.Event) -> None:
        watching = self._watching[phone_number]
        watching.discard(news)
        if not watching:
            del self._watching[phone_number]
