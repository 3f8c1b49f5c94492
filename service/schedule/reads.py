"""When a payment is read although nothing was heard of it: contract section 4, facts section 7.

Dense where something is likely, sparse where it is not, far inside Vipps's limit of 120 reads
a minute per reference.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from zlib import crc32

# After a push: people answer within minutes or not for hours.
_AFTER_PUSH_S: Sequence[int] = (5, 30, 120, 600, 1800, 3600, 7200, 21_600, 43_200)
# Around the end: Vipps may still answer CREATED for a moment, or the customer be paying.
_AFTER_END_S: Sequence[int] = (2, 15, 60, 300, 900, 3600)

DAY = timedelta(days=1)
# What is settled can still be changed by hand in Vipps's portal: refunds for a year, and no
# reservation lasts as long.
_FRESH = timedelta(days=14)
_REFUNDABLE = timedelta(days=366)
# So late is no single read, but a pile of them: after an upgrade, or days without the service.
_LATE = timedelta(hours=1)
# A hundred thousand are then two a second, behind which nobody's payment has to wait.
SPREAD = timedelta(hours=12)


def next_read_while_live(made_at: datetime, ends_at: datetime, looked_at: datetime) -> datetime:
    """Return when to look again, after `looked_at`, at a payment that can still be approved."""
    if looked_at >= ends_at:
        return _next_step(ends_at, _AFTER_END_S, looked_at) or looked_at + DAY
    step = _next_step(made_at, _AFTER_PUSH_S, looked_at) or looked_at + DAY
    return min(step, ends_at + timedelta(seconds=_AFTER_END_S[0]))


def next_read_when_paid(
    authorized_at: datetime, looked_at: datetime, *, is_open: bool
) -> datetime | None:
    """Return when to look again at an approved payment; None = not any more.

    `is_open`: something is reserved and neither taken nor released."""
    age = looked_at - authorized_at
    if age >= _REFUNDABLE:
        return None
    return looked_at + (DAY if is_open or age < _FRESH else 7 * DAY)


def spread_s(late: timedelta, name: str) -> float:
    """Return how long a sweep's read waits, in seconds, that is late by so much.

    A pile is spread evenly: each by its payment's name, so that it is the same for everybody."""
    if late <= _LATE:
        return 0.0
    return crc32(name.encode()) / 2**32 * SPREAD.total_seconds()


def _next_step(since: datetime, steps_s: Sequence[int], now: datetime) -> datetime | None:
    instants = (since + timedelta(seconds=step) for step in steps_s)
    return next((at for at in instants if at > now), None)
