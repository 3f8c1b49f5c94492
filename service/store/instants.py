"""Instants as text: each is written once, however many rows and answers it stands in."""

from datetime import UTC, datetime
from functools import lru_cache

import orjson

_LENGTH = len('"2026-11-22T10:00:00.123456+00:00"')


# All rows of a transaction share its time, and a row shows one instant in several places.
@lru_cache(maxsize=4096)
def instant_text(at: datetime) -> str:
    """Return an aware instant as `2026-11-22T10:00:00.123456+00:00`, always with six decimals.

    Raises: ValueError, where it has no time zone."""
    if at.tzinfo is not UTC:
        if at.utcoffset() is None:
            raise ValueError("an instant needs its time zone")
        at = at.astimezone(UTC)
    # orjson writes it seven times as fast as `isoformat`, but leaves out decimals that are zero.
    text = orjson.dumps(at).decode()
    return text[1:-1] if len(text) == _LENGTH else at.isoformat("T", "microseconds")


def rfc3339_of(at: datetime) -> str:
    """Return an aware instant as `2026-11-22T10:00:00.123Z`, cut to milliseconds."""
    return f"{instant_text(at)[:23]}Z"
