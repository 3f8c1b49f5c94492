"""What arrives together is committed together, and fails alone."""

import asyncio
import threading
from collections.abc import Callable, Sequence

import pytest

from service.errors import DatabaseAway
from service.group_commit import BATCH_MAX, QUEUE_MAX, GroupCommit, NotStored, Overloaded
from tests.fake_merchant import until

pytestmark = pytest.mark.anyio


class _Disk:
    """Notes each batch; may be stopped before the next one, and refuse some."""

    def __init__(self, refuse: Callable[[Sequence[int]], Exception | None] | None = None) -> None:
        self.batches: list[list[int]] = []
        self.gate = threading.Event()
        self.gate.set()
        self._refuse = refuse

    def commit(self, batch: Sequence[int]) -> list[int]:
        self.gate.wait()
        error = self._refuse(batch) if self._refuse else None
        if error is not None:
            raise error
        self.batches.append(list(batch))
        return [number * 10 for number in batch]


async def _hold(disk: _Disk, commits: GroupCommit[int, int]) -> asyncio.Task[int]:
    """Let a first item hold the disk, so that all others wait; return its task."""
    disk.gate.clear()
    first = asyncio.create_task(commits.submit(-1))
    await until(lambda: commits._is_flushing and not commits._queue)
    return first


async def _submit_behind(
    disk: _Disk, commits: GroupCommit[int, int], numbers: Sequence[int]
) -> list[int | BaseException]:
    """Submit these while a first item holds the disk, so that they share what follows."""
    first = await _hold(disk, commits)
    tasks = [asyncio.create_task(commits.submit(number)) for number in numbers]
    await asyncio.sleep(0)
    disk.gate.set()
    await asyncio.gather(first, return_exceptions=True)
    return await asyncio.gather(*tasks, return_exceptions=True)


async def test_items_that_wait_share_a_commit_in_their_order() -> None:
    """While one batch is written, the next gathers; everyone gets their own answer."""
    disk = _Disk()
    commits = GroupCommit(disk.commit)

    answers = await _submit_behind(disk, commits, range(5))

    assert disk.batches == [[-1], [0, 1, 2, 3, 4]]
    assert answers == [0, 10, 20, 30, 40]


async def test_one_item_alone_is_committed_at_once() -> None:
    """An idle service adds no delay."""
    disk = _Disk()

    answer = await GroupCommit(disk.commit).submit(7)

    assert (answer, disk.batches) == (70, [[7]])


async def test_batch_has_a_largest_size() -> None:
    """A flood is written in pieces that each end soon."""
    disk = _Disk()
    commits = GroupCommit(disk.commit)

    await _submit_behind(disk, commits, range(BATCH_MAX + 1))

    assert [len(batch) for batch in disk.batches] == [1, BATCH_MAX, 1]


async def test_poisoned_item_fails_alone() -> None:
    """One event that can't be stored takes none of its neighbours down."""
    disk = _Disk(lambda batch: ValueError("poison") if 3 in batch else None)
    commits = GroupCommit(disk.commit)

    answers = await _submit_behind(disk, commits, range(8))

    assert isinstance(answers.pop(3), NotStored)
    assert answers == [0, 10, 20, 40, 50, 60, 70]
    assert sorted(n for batch in disk.batches for n in batch) == [-1, 0, 1, 2, 4, 5, 6, 7]


async def test_database_that_is_away_fails_all_without_splitting() -> None:
    """When nothing can be stored, each sender hears so after one try."""
    tries: list[int] = []

    def refuse(batch: Sequence[int]) -> Exception:
        tries.append(len(batch))
        return DatabaseAway()

    disk = _Disk(refuse)
    commits = GroupCommit(disk.commit)

    answers = await _submit_behind(disk, commits, range(8))

    assert all(isinstance(answer, DatabaseAway) for answer in answers)
    assert tries == [1, 8]


async def test_item_after_a_failure_is_stored() -> None:
    """The queue heals as soon as the database does."""
    errors: list[Exception] = [DatabaseAway()]
    disk = _Disk(lambda _: errors.pop() if errors else None)
    commits = GroupCommit(disk.commit)
    with pytest.raises(DatabaseAway):
        await commits.submit(1)

    answer = await commits.submit(2)

    assert answer == 20


async def test_full_queue_refuses_at_once() -> None:
    """Beyond what a second can hold, an early no serves the sender better."""
    disk = _Disk()
    commits = GroupCommit(disk.commit)
    first = await _hold(disk, commits)
    waiting = [asyncio.create_task(commits.submit(n)) for n in range(QUEUE_MAX)]
    await asyncio.sleep(0)

    with pytest.raises(Overloaded):
        await commits.submit(QUEUE_MAX)

    disk.gate.set()
    await asyncio.gather(first, *waiting)
    assert sum(len(batch) for batch in disk.batches) == QUEUE_MAX + 1


async def test_sender_that_hangs_up_is_stored_all_the_same() -> None:
    """Whoever goes away leaves the others' answers in order."""
    disk = _Disk()
    commits = GroupCommit(disk.commit)
    first = await _hold(disk, commits)
    gone, stays = (asyncio.create_task(commits.submit(n)) for n in (1, 2))
    await asyncio.sleep(0)
    gone.cancel()
    disk.gate.set()

    answers = await asyncio.gather(first, stays)

    assert list(answers) == [-10, 20]
    assert disk.batches == [[-1], [1, 2]]


async def test_drain_returns_when_nothing_waits() -> None:
    """A stop loses nothing that was accepted."""
    disk = _Disk()
    commits = GroupCommit(disk.commit)
    await commits.drain()
    tasks = [asyncio.create_task(commits.submit(n)) for n in range(3)]
    await asyncio.sleep(0)

    await commits.drain()

    assert sorted(n for batch in disk.batches for n in batch) == [0, 1, 2]
    await asyncio.gather(*tasks)


async def test_queue_that_is_too_old_refuses_newcomers_and_heals() -> None:
    """While the disk stands still, whoever comes late is told at once; then all is as before."""
    disk = _Disk()
    commits = GroupCommit(disk.commit, wait_max_s=0.05)
    first = await _hold(disk, commits)
    patient = asyncio.create_task(commits.submit(1))
    await asyncio.sleep(0.1)

    with pytest.raises(Overloaded):
        await commits.submit(2)
    disk.gate.set()

    assert (await first, await patient) == (-10, 10)
    assert await commits.submit(3) == 30


async def test_slow_disk_lets_no_more_in_than_it_can_store_in_time() -> None:
    """What the last batch took says how many batches may wait; one may always."""
    disk = _Disk()
    commits = GroupCommit(disk.commit, wait_max_s=100.0)
    commits._batch_s = 60.0
    first = await _hold(disk, commits)
    tasks = [asyncio.create_task(commits.submit(n)) for n in range(3 * BATCH_MAX)]
    await asyncio.sleep(0)
    disk.gate.set()

    answers = await asyncio.gather(first, *tasks, return_exceptions=True)

    stored = [answer for answer in answers if not isinstance(answer, Overloaded)]
    assert len(stored) == 1 + 2 * BATCH_MAX
