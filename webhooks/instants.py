"""The two spellings of an instant on the wire: RFC 3339 in JSON, IMF-fixdate in headers."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from email.utils import formatdate
from functools import lru_cache

_MONTHS = tuple(b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split())
_WEEKDAYS = tuple(b"Mon Tue Wed Thu Fri Sat Sun".split())

# The standard library's parser also takes other zones, naive dates and wrong weekdays; a signature
# must have one spelling only. Guarded by test_date_in_another_form_is_malformed.
_HTTP_DATE = re.compile(
    rb"(%b), ([0-9]{2}) (%b) ([0-9]{4}) ([0-9]{2}):([0-9]{2}):([0-9]{2}) GMT"
    % (b"|".join(_WEEKDAYS), b"|".join(_MONTHS))
)
_RFC3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,32})?(Z|[+-][0-9]{2}:[0-9]{2})"
)


# All requests of one second carry the same text, and reading it cost a quarter of a verification. A
# stranger who sends other dates can only push entries out.
@lru_cache(maxsize=64)
def parse_http_date(value: bytes) -> datetime | None:
    """Return the instant of one exact IMF-fixdate in UTC, or None.

    Source: RFC 9110 section 5.6.7 (only the preferred form, and the weekday must be right).
    """
    match = _HTTP_DATE.fullmatch(value)
    if match is None:
        return None
    weekday, day, month, year, hour, minute, second = match.groups()
    try:
        at = datetime(
            int(year),
            _MONTHS.index(month) + 1,
            int(day),
            int(hour),
            int(minute),
            int(second),
            tzinfo=UTC,
        )
    except ValueError:
        return None
    return at if _WEEKDAYS[at.weekday()] == weekday else None


def format_http_date(at: datetime) -> str:
    """Write an aware instant as IMF-fixdate, cut to whole seconds."""
    return _http_date(math.floor(at.timestamp()))


# All that is signed within one second carries the same text.
@lru_cache(maxsize=64)
def _http_date(epoch_s: int) -> str:
    return formatdate(epoch_s, usegmt=True)


def parse_rfc3339(text: str) -> datetime | None:
    """Return the instant of an RFC 3339 text in UTC, or None.

    Any number of fractional digits is taken and cut to microseconds: Vipps sends three to seven.
    A leap second (`:60`) is None, because `datetime` cannot hold it.
    """
    if _RFC3339.fullmatch(text) is None:
        return None
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
