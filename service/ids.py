"""Names of our own things: a kind, an underscore, a ULID.

Ids sort by time of making, so that inserts stay at the right edge of their index
(performance notes, "Growth"); they are never used as an order of events.
"""

import os
import threading
import time
from datetime import UTC, datetime
from functools import lru_cache

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's: no I, L, O, U
_PAIRS = tuple(first + second for first in _ALPHABET for second in _ALPHABET)
_RANDOM_BYTES = 10
_RANDOM_BITS = 8 * _RANDOM_BYTES
_RANDOM_PART = (1 << _RANDOM_BITS) - 1
# Characters of five bits, two at a time.
_TIME_SHIFTS = tuple(range(40, -1, -10))
_RANDOM_SHIFTS = tuple(range(_RANDOM_BITS - 10, -1, -10))
_TIME_DIGITS = 10  # of the 26 characters
# Of a series that shares one id, such as the rows of one statement, each puts its number in the
# place of the last eight characters: no two ids may have the same eighteen before.
_SERIES_BITS = 40
_SERIES_PART = (1 << _SERIES_BITS) - 1
_NAME_DIGITS = 2 * _RANDOM_BYTES * 4 // 5  # the others, of five bits each


def new_id(kind: str) -> str:
    """Return a fresh id such as `evt_01JD…`; 26 characters after the kind.

    48 bits of milliseconds, 80 random ones; in one process each is above the one before, also
    where the clock goes back, and differs from it in the first 18 characters. Source:
    github.com/ulid/spec. Four of them are made for each webhook, and the library's took a tenth of
    all that it costs to store one."""
    fresh = (time.time_ns() // 1_000_000) << _RANDOM_BITS | int.from_bytes(
        os.urandom(_RANDOM_BYTES)
    )
    return f"{kind}_{_text(_above_the_last(fresh))}"


def named_id(kind: str, name: bytes) -> str:
    """Return an id made now whose random part is these ten bytes instead: see `name_part`."""
    milliseconds = time.time_ns() // 1_000_000
    return f"{kind}_{_text(milliseconds << _RANDOM_BITS | int.from_bytes(name))}"


def name_part(name: str) -> str:
    """Return what an id has beside its kind and its time."""
    return name[-_NAME_DIGITS:]


def named_bytes(name: str) -> bytes | None:
    """Return the ten bytes that an id was made of, see `named_id`; None: it can't be one."""
    digits = name_part(name)
    if len(digits) < _NAME_DIGITS or not set(digits) <= set(_ALPHABET):
        return None
    return _number(digits).to_bytes(_RANDOM_BYTES)


def first_id(kind: str, at: datetime) -> str:
    """Return what comes before every id made from that millisecond on, and after all before."""
    value = int(at.timestamp() * 1000) << _RANDOM_BITS
    return f"{kind}_{_text(value)}"


def made_at(name: str) -> datetime:
    """Return when an id was made, to the millisecond, in real time."""
    digits = name.rpartition("_")[2][:_TIME_DIGITS]
    return datetime.fromtimestamp(_number(digits) / 1000, UTC)


def _number(digits: str) -> int:
    number = 0
    for digit in digits:
        number = number << 5 | _ALPHABET.index(digit)
    return number


class _Last:
    """The last start of an id in this process: threads make them at the same instant."""

    start = 0
    lock = threading.Lock()


def _above_the_last(fresh: int) -> int:
    with _Last.lock:
        _Last.start = max(fresh >> _SERIES_BITS, _Last.start + 1)
        return _Last.start << _SERIES_BITS | fresh & _SERIES_PART


def _text(value: int) -> str:
    random = value & _RANDOM_PART
    pairs = [_PAIRS[random >> shift & 1023] for shift in _RANDOM_SHIFTS]
    return _time_text(value >> _RANDOM_BITS) + "".join(pairs)


# Under load many are made in one millisecond.
@lru_cache(maxsize=16)
def _time_text(milliseconds: int) -> str:
    return "".join([_PAIRS[milliseconds >> shift & 1023] for shift in _TIME_SHIFTS])
