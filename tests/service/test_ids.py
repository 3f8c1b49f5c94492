"""Names of our own things are ULIDs."""

import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from service.ids import new_id


def test_id_is_a_kind_and_a_ulid() -> None:
    """Whoever knows ULIDs reads the time in it."""
    before = time.time_ns() // 1_000_000
    name = new_id("evt")
    after = time.time_ns() // 1_000_000

    assert re.fullmatch(r"evt_[0-7][0-9A-HJKMNP-TV-Z]{25}", name)
    alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    made_at = 0
    for letter in name[4:14]:
        made_at = made_at * 32 + alphabet.index(letter)
    assert before <= made_at <= after


def test_ids_are_all_different_and_sort_by_time_of_making() -> None:
    """Inserts stay at the right edge of their index."""
    names = [new_id("evt") for _ in range(10_000)]

    assert len(set(names)) == len(names)
    assert names == sorted(names)


def test_ids_start_differently_while_the_clock_stands_or_goes_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """F16: what is numbered in the last eight characters is unique whatever the clock does."""
    later = time.time_ns() + 10**12
    before = new_id("dlv")
    monkeypatch.setattr(time, "time_ns", lambda: later)
    ahead = [new_id("dlv") for _ in range(1_000)]
    monkeypatch.undo()
    back = [new_id("dlv") for _ in range(1_000)]

    names = [before, *ahead, *back]
    assert len({name[:-8] for name in names}) == len(names)
    assert names == sorted(names)


def test_ids_of_threads_are_all_different() -> None:
    """Two that are made at the same instant are two."""
    with ThreadPoolExecutor(4) as pool:
        names = list(pool.map(lambda _: new_id("evt"), range(20_000)))

    assert len(set(names)) == len(names)
