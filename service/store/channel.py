"""PostgreSQL's LISTEN and NOTIFY: words that reach every process on one database.

On a connection of their own. A NOTIFY within a transaction that writes would make all such
transactions commit one after the other: PostgreSQL gives their words one sequence, under one lock.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import psycopg
import sqlalchemy as sa

from service.errors import DatabaseAway
from service.store.db import POSTGRES_SILENCE

_LISTEN = "LISTEN betalbar"
_SAY = "SELECT pg_notify('betalbar', %s)"
# What is said is no record: who misses it looks by itself. So it waits for no disk.
_OPTIONS = "-c synchronous_commit=off -c statement_timeout=10000"
# What has come is there; this only lets the loop notice it.
_AT_ONCE_S = 0.01


class Channel:
    """An open connection that listens."""

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        """Take a connection that listens already."""
        self._connection = connection

    async def wait(self, stirred: asyncio.Event) -> None:
        """Return once there is something to be heard, or `stirred` is set for another reason."""
        loop, socket = asyncio.get_running_loop(), self._connection.fileno()
        loop.add_reader(socket, stirred.set)
        try:
            await stirred.wait()
        finally:
            loop.remove_reader(socket)

    async def heard(self) -> set[str]:
        """Return the words that others have said since. Raises: DatabaseAway."""
        with _border():
            own = self._connection.info.backend_pid
            return {
                word
                async for said in self._connection.notifies(timeout=_AT_ONCE_S)
                if said.pid != own
                for word in said.payload.split()
            }

    async def say(self, words: Iterable[str]) -> None:
        """Say these words to all other processes. Raises: DatabaseAway."""
        with _border():
            await self._connection.execute(_SAY, (" ".join(sorted(words)),))


@asynccontextmanager
async def open_channel(url: str) -> AsyncIterator[Channel]:
    """Listen for as long as the block goes on. Raises: DatabaseAway."""
    with _border():
        connection = await psycopg.AsyncConnection.connect(**_how(url))
    try:
        with _border():
            await connection.execute(_LISTEN)
        yield Channel(connection)
    finally:
        with contextlib.suppress(psycopg.Error):
            await connection.close()


def say_once(url: str, words: Iterable[str]) -> None:
    """Say these words, by a connection for this once. Raises: DatabaseAway."""
    with _border(), psycopg.connect(**_how(url)) as connection:
        connection.execute(_SAY, (" ".join(sorted(words)),))


def _how(url: str) -> dict[str, Any]:
    given = sa.make_url(url).set(drivername="postgresql+psycopg")
    _, named = given.get_dialect()().create_connect_args(given)
    own = {"connect_timeout": 5, "options": _OPTIONS, "autocommit": True, **POSTGRES_SILENCE}
    return {**named, **own}


@contextmanager
def _border() -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        raise DatabaseAway from error
