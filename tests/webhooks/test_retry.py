"""A delivery is tried again at the times we promise, and not for ever."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhooks import retry

NOW = datetime(2026, 11, 22, 10, 0, 0, tzinfo=UTC)
JITTER = st.floats(-1, 1)
WISH = st.none() | st.integers(-10, 10**12)


def test_steps_are_those_of_the_contract() -> None:
    """5 s, 1 m, 5 m, 30 m, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h."""
    hour = 3600

    assert retry.STEPS_S[:4] == (5, 60, 300, 1800)
    assert retry.STEPS_S[4:] == tuple(hours * hour for hours in (2, 5, 10, 14, 20, 24))


@pytest.mark.parametrize("attempt", range(1, 11))
def test_next_attempt_without_jitter_is_one_step_ahead(attempt: int) -> None:
    """After the n-th failure comes the n-th step."""
    at = retry.next_attempt_at(attempt, NOW, jitter=0, retry_after_s=None)

    assert at == NOW + timedelta(seconds=retry.STEPS_S[attempt - 1])


@pytest.mark.parametrize("attempt", [11, 12, 1000])
def test_next_attempt_after_the_last_step_is_none(attempt: int) -> None:
    """After eleven tries the delivery is given up."""
    assert retry.next_attempt_at(attempt, NOW, jitter=0, retry_after_s=5) is None


@pytest.mark.parametrize(("jitter", "seconds"), [(-1, 48), (-0.5, 54), (0, 60), (1, 72)])
def test_next_attempt_moves_by_a_fifth_at_most(jitter: float, seconds: int) -> None:
    """Deliveries that failed together do not come back together."""
    at = retry.next_attempt_at(2, NOW, jitter=jitter)

    assert at == NOW + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("wish_s", "seconds"),
    [(-5, 60), (0, 60), (59, 60), (61, 61), (120, 120), (121, 120), (10**12, 120)],
)
def test_next_attempt_honours_retry_after_up_to_twice_the_step(wish_s: int, seconds: int) -> None:
    """A receiver may ask for a pause, but not stop its queue."""
    at = retry.next_attempt_at(2, NOW, jitter=0, retry_after_s=wish_s)

    assert at == NOW + timedelta(seconds=seconds)


@given(attempt=st.integers(1, 10), jitter=JITTER, wish_s=WISH)
def test_next_attempt_stays_within_its_bounds(
    attempt: int, jitter: float, wish_s: int | None
) -> None:
    """Whatever the dice and the receiver say, the promise holds."""
    step = timedelta(seconds=retry.STEPS_S[attempt - 1])

    at = retry.next_attempt_at(attempt, NOW, jitter=jitter, retry_after_s=wish_s)

    assert at is not None
    assert 0.8 * step <= at - NOW <= 2 * step


@pytest.mark.parametrize("jitter", [-1.01, 1.01, float("nan"), float("inf")])
def test_jitter_outside_its_range_is_refused(jitter: float) -> None:
    """A mistaken roll of the dice is told, not used."""
    with pytest.raises(ValueError, match="jitter"):
        retry.next_attempt_at(1, NOW, jitter=jitter)
    with pytest.raises(ValueError, match="jitter"):
        retry.backoff_s(1, jitter=jitter, base_s=1, cap_s=60)


@pytest.mark.parametrize("attempt", [0, -1])
def test_attempt_before_the_first_is_refused(attempt: int) -> None:
    """Trying again needs a first try."""
    with pytest.raises(ValueError, match="attempt"):
        retry.next_attempt_at(attempt, NOW, jitter=0)
    with pytest.raises(ValueError, match="attempt"):
        retry.backoff_s(attempt, jitter=0, base_s=1, cap_s=60)


@pytest.mark.parametrize(
    ("attempt", "seconds"), [(1, 2), (2, 4), (3, 8), (5, 32), (6, 60), (7, 60), (10_000, 60)]
)
def test_backoff_doubles_up_to_the_cap(attempt: int, seconds: float) -> None:
    """A Vipps in trouble is asked less and less often."""
    assert retry.backoff_s(attempt, jitter=0, base_s=2, cap_s=60) == seconds


@pytest.mark.parametrize(
    ("wish_s", "seconds"), [(None, 2), (-1, 2), (1, 2), (7, 7), (3600, 3600), (10**9, 86_400)]
)
def test_backoff_honours_retry_after_up_to_a_day(wish_s: int | None, seconds: float) -> None:
    """When Vipps says when to come back, we do; a slip of a digit costs a day at most."""
    waited = retry.backoff_s(1, jitter=0, base_s=2, cap_s=60, retry_after_s=wish_s)

    assert waited == seconds


@given(attempt=st.integers(1, 10**9), jitter=JITTER, wish_s=WISH)
def test_backoff_stays_within_its_bounds(attempt: int, jitter: float, wish_s: int | None) -> None:
    """A command waits neither no time nor for ever."""
    waited = retry.backoff_s(attempt, jitter=jitter, base_s=2, cap_s=60, retry_after_s=wish_s)

    assert 1.6 <= waited <= 86_400


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("120", 120),
        ("007", 7),
        ("999999999", 999_999_999),
        ("Sun, 22 Nov 2026 10:02:00 GMT", 120),
        ("Sun, 22 Nov 2026 09:00:00 GMT", 0),
    ],
)
def test_retry_after_is_read_in_both_forms(value: str, seconds: int) -> None:
    """A receiver may name seconds or a date."""
    assert retry.parse_retry_after(value, NOW) == seconds


def test_retry_after_date_is_rounded_up() -> None:
    """We come back after the time that was named, not just before."""
    now = NOW + timedelta(microseconds=1)

    assert retry.parse_retry_after("Sun, 22 Nov 2026 10:00:01 GMT", now) == 1


@pytest.mark.parametrize(
    "value",
    [
        "",
        "-1",
        "1.5",
        "1 ",
        "soon",
        "1" * 10,
        "9" * 5000,
        "\u0661",
        "\ud800",
        "2026-11-22T10:00:00Z",
    ],
)
def test_retry_after_in_another_form_is_no_wish(value: str) -> None:
    """A header that makes no sense leaves our schedule as it is."""
    assert retry.parse_retry_after(value, NOW) is None


@given(value=st.text())
def test_retry_after_never_raises(value: str) -> None:
    """A receiver cannot crash its delivery."""
    seconds = retry.parse_retry_after(value, NOW)

    assert seconds is None or seconds >= 0
