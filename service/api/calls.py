"""One call of a merchant's system."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from anyio import to_thread
from sqlmodel import Session
from starlette.requests import Request
from starlette.responses import Response

from service.api.answers import Answer
from service.api.auth import Caller
from service.api.query import Query
from service.api.writing import Writes
from service.context import Context

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call:
    """A request of a known caller, with the parameters that its operation describes."""

    context: Context
    caller: Caller
    request: Request
    query: Query
    writes: Writes

    @property
    def path_part(self) -> str:
        """Return the part of the path that the route leaves open."""
        return str(next(iter(self.request.path_params.values())))

    async def read(self, work: Callable[[Session], T]) -> T:
        """Return what `work` reads, on a thread, in one snapshot of the database.

        Raises: what `work` raises, ReadTooLong, DatabaseAway."""
        return await to_thread.run_sync(_read, self.context, work)


Handler = Callable[[Call], Awaitable[Answer | Response]]
OpenHandler = Callable[[Request], Awaitable[Answer | Response]]


def _read(context: Context, work: Callable[[Session], T]) -> T:
    with context.database.brief_snapshot() as session:
        return work(session)
