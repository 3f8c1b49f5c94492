"""When Vipps tries again, as numbers."""

from datetime import UTC, datetime, timedelta

import pytest

from service.sandbox.schedule import gap_after, is_given_up, next_attempt_at

START = datetime(2026, 11, 22, tzinfo=UTC)


@pytest.mark.parametrize(
    ("attempt", "gap_s"),
    [(1, 2), (2, 2), (3, 2), (4, 60), (5, 120), (6, 3600), (28, 3600), (29, 86_400), (34, 86_400)],
)
def test_gap_after_an_attempt_is_vippss(attempt: int, gap_s: int) -> None:
    """Four attempts at once, two within minutes, then hourly, then daily."""
    assert gap_after(attempt) == timedelta(seconds=gap_s)


def test_attempts_end_after_seven_days() -> None:
    """Vipps tries thirty-five times in seven days, and then never again."""
    attempts, at = 1, START

    while (due_at := next_attempt_at(attempts, at, first_at=START, scale=1)) is not None:
        attempts, at = attempts + 1, due_at

    assert attempts == 35
    assert START + timedelta(days=6) < at <= START + timedelta(days=7)


def test_scale_shortens_every_wait() -> None:
    """A test can have the seven days in seconds."""
    due_at = next_attempt_at(4, START, first_at=START, scale=0.01)

    assert due_at == START + timedelta(seconds=0.6)
    assert next_attempt_at(1, START + timedelta(days=1), first_at=START, scale=0.1) is None


@pytest.mark.parametrize(("days", "is_over"), [(13.99, False), (14, True)])
def test_registration_is_given_up_after_two_weeks(days: float, is_over: bool) -> None:
    """Fourteen days without an answer, and Vipps deletes the registration."""
    assert is_given_up(START, START + timedelta(days=days), scale=1) is is_over
