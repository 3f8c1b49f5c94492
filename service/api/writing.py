"""How merchants' changes are committed: on SQLite, those that come together share one commit.

There one transaction writes at a time, so that a queue of many would wait for as many disk syncs.
On PostgreSQL each has its own: they run side by side, and none holds the locks of another.
"""

from collections.abc import Callable, Sequence
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any, TypeVar

from anyio import to_thread
from sqlmodel import Session

from service.context import Context
from service.errors import DatabaseAway
from service.group_commit import GroupCommit, Overloaded
from service.store.db import Part

T = TypeVar("T")
Work = Callable[[Session], Any]

# A tenth of a second on a small machine: webhooks wait for it, too.
_TOGETHER_MAX = 32


@dataclass(frozen=True, slots=True)
class _Refused:
    """What ended one piece of work; its neighbours are stored."""

    error: Exception


class Writes:
    """The writes of one process's API."""

    def __init__(self, context: Context) -> None:
        """Start with an empty queue."""
        self._context = context
        self._shared: GroupCommit[Work, Any] = GroupCommit(self._store, batch_max=_TOGETHER_MAX)

    async def run(self, work: Callable[[Session], T]) -> T:
        """Return what `work` has done, once it is on disk, and wake the workers.

        Raises: what `work` raises, with nothing of it written; DatabaseAway."""
        if not self._context.database.is_sqlite:
            return await to_thread.run_sync(self._store_alone, work)
        try:
            here = copy_context()  # what it writes names its own request as its cause
            done = await self._shared.submit(lambda session: here.run(work, session))
        except Overloaded as error:
            raise DatabaseAway from error
        if isinstance(done, _Refused):
            raise done.error
        result: T = done
        return result

    def _store_alone(self, work: Callable[[Session], T]) -> T:
        with self._context.database.transaction() as session:
            result = work(session)
        self._wake()
        return result

    def _store(self, batch: Sequence[Work]) -> Sequence[Any]:
        with self._context.database.shared_transaction() as part:
            results = [_done(part, work) for work in batch]
        self._wake()
        return results

    def _wake(self) -> None:
        self._context.wake.set_all_work()


def _done(part: Part, work: Work) -> Any:
    try:
        with part() as session:
            return work(session)
    except DatabaseAway:
        raise  # nothing of this transaction can be trusted
    except Exception as error:
        return _Refused(error)
