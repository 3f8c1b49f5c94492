"""What is on disk, and when."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from service.sandbox.store import Bound, Store, Table


def put(store: Store, table: Table[str], key: str) -> None:
    """Have the table hold a row of that key."""
    transaction = store.begin()
    transaction.put(table, key, row=f"row {key}")
    transaction.commit()


def on_disk(path: Path) -> list[str]:
    """Return the keys that another process would find."""
    with sqlite3.connect(path) as other:
        found = [key for (key,) in other.execute("SELECT key FROM entry ORDER BY id")]
    other.close()
    return found


def test_changes_of_one_moment_are_on_disk_together(tmp_path: Path) -> None:
    """Whoever waited for one finds all of them kept, and nobody is told before."""
    path = tmp_path / "sandbox.db"
    store = Store(path)
    table = store.table("word", decode=str)
    seen = []

    async def act(key: str) -> None:
        put(store, table, key)
        seen.append(on_disk(path))
        await store.kept()
        seen.append(on_disk(path))

    async def act_at_once() -> None:
        await asyncio.gather(*map(act, "abc"))

    asyncio.run(act_at_once())
    store.close()

    assert seen == [[], [], [], *[["a", "b", "c"]] * 3]


def test_change_that_the_disk_refuses_waits_until_it_can(tmp_path: Path) -> None:
    """Nobody is told that it is kept before it is, however often they ask."""
    path = tmp_path / "sandbox.db"
    store = Store(path)
    table = store.table("word", decode=str)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("CREATE TRIGGER t BEFORE INSERT ON entry BEGIN SELECT RAISE(ABORT, 'full'); END")
    put(store, table, "a")

    for _ in range(2):
        with pytest.raises(sqlite3.IntegrityError):
            asyncio.run(store.kept())
    other.execute("DROP TRIGGER t")
    other.close()
    asyncio.run(store.kept())
    store.close()

    assert on_disk(path) == ["a"]


def test_row_that_memory_let_go_is_found_before_it_was_waited_for(tmp_path: Path) -> None:
    """A read looks at what every change so far has made."""
    store = Store(tmp_path / "sandbox.db")
    table = store.table("word", decode=str, bound=Bound(1))
    for key in "abc":
        put(store, table, key)

    found = table.get("a"), list(table.after("a"))
    store.close()

    assert found == ("row a", ["row b", "row c"])


def test_change_and_its_end_in_one_moment_leave_nothing(tmp_path: Path) -> None:
    """The last word on a row is what counts."""
    path = tmp_path / "sandbox.db"
    store = Store(path)
    table = store.table("word", decode=str)
    put(store, table, "a")
    put(store, table, "b")
    ending = store.begin()
    ending.delete(table, "a")
    ending.commit()
    store.delete_late(table, "b")
    put(store, table, "b")
    store.close()

    assert on_disk(path) == ["b"]
