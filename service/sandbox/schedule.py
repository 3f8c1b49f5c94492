"""When Vipps tries a webhook again, as a pure decision.

Source: developer.vippsmobilepay.com/docs/APIs/webhooks-api (schedule "may change").
"""

from datetime import datetime, timedelta

GIVE_UP_AFTER = timedelta(days=7)
DELETE_AFTER = timedelta(days=14)

# The first attempt that each gap follows -> the gap in seconds.
_GAPS = ((29, 86_400), (6, 3_600), (5, 120), (4, 60), (1, 2))


def gap_after(attempt: int) -> timedelta:
    """Return how long Vipps waits after that attempt (1 is the first) has failed."""
    return timedelta(seconds=next(gap for first, gap in _GAPS if attempt >= first))


def next_attempt_at(
    attempt: int, now: datetime, *, first_at: datetime, scale: float
) -> datetime | None:
    """Return when the attempt after that one is due, or None once seven days are over."""
    due_at = now + gap_after(attempt) * scale
    return due_at if due_at <= first_at + GIVE_UP_AFTER * scale else None


def is_given_up(failing_since: datetime, now: datetime, *, scale: float) -> bool:
    """Say whether the address was silent so long that Vipps deletes its registration."""
    return now - failing_since >= DELETE_AFTER * scale
