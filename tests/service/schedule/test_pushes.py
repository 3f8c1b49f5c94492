"""When the service asks again by itself: never at night, not too often, last on the due date."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.schedule.pushes import PushPolicy, after_quiet_hours, next_push_at
from service.settings import QuietHours

OSLO = ZoneInfo("Europe/Oslo")
NIGHT = QuietHours(time(21), time(8))
DAY = timedelta(days=1)
# Around both changes of the clock, where nights are an hour longer or shorter.
_SPRING = datetime(2026, 3, 1, tzinfo=UTC)
_INSTANTS = st.timedeltas(timedelta(0), 270 * DAY).map(_SPRING.__add__)
_CLOCKS = st.times().map(lambda t: t.replace(microsecond=0, tzinfo=None))
_QUIET = st.none() | st.builds(QuietHours, _CLOCKS, _CLOCKS)


def _policy(quiet: QuietHours | None = NIGHT, *, pushes_max: int = 3) -> PushPolicy:
    return PushPolicy(OSLO, 2 * 86_400, pushes_max, quiet)


def _oslo(year: int, month: int, day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(year, month, day, hour, minute, tzinfo=OSLO).astimezone(UTC)


def _next(
    lapsed_at: datetime,
    policy: PushPolicy | None = None,
    *,
    pushes_made: int = 0,
    due_date: date | None = None,
    now: datetime | None = None,
    payable_until: datetime | None = None,
) -> datetime | None:
    return next_push_at(
        policy or _policy(),
        lapsed_at=lapsed_at,
        now=now or lapsed_at,
        pushes_made=pushes_made,
        due_date=due_date,
        payable_until=payable_until or lapsed_at + 60 * DAY,
    )


def _is_quiet(at: datetime, quiet: QuietHours | None) -> bool:
    """Tell it the long way round: by the minutes of a clock on the wall."""
    if quiet is None or quiet.start == quiet.end:
        return False
    clock = at.astimezone(OSLO).time()
    if quiet.start < quiet.end:
        return quiet.start <= clock < quiet.end
    return not quiet.end <= clock < quiet.start


@given(_INSTANTS, _QUIET)
def test_quiet_hours_are_never_disturbed_nor_overslept(
    at: datetime, quiet: QuietHours | None
) -> None:
    """Nobody is woken, and what waited for the morning goes out as it begins."""
    due_at = after_quiet_hours(at, _policy(quiet))

    assert not _is_quiet(due_at, quiet)
    assert (due_at == at) is not _is_quiet(at, quiet)
    assert at <= due_at < at + DAY + timedelta(hours=2)
    assert due_at == at or _is_quiet(due_at - timedelta(seconds=1), quiet) or _is_gap(due_at)


def _is_gap(at: datetime) -> bool:
    """Tell whether the clocks were put forward in the hour before."""
    before = at - timedelta(hours=1)
    return at.astimezone(OSLO).utcoffset() != before.astimezone(OSLO).utcoffset()


@given(
    _INSTANTS,
    _QUIET,
    st.integers(0, 4),
    st.none() | st.dates(date(2026, 2, 1), date(2026, 12, 31)),
    st.timedeltas(timedelta(0), 30 * DAY),
    st.timedeltas(timedelta(0), 60 * DAY),
)
def test_push_keeps_to_the_policy_whatever_it_is(
    lapsed_at: datetime,
    quiet: QuietHours | None,
    pushes_made: int,
    due_date: date | None,
    late: timedelta,
    left: timedelta,
) -> None:
    """At most so many, never at night, never when it can't be paid, never in the past."""
    now, payable_until = lapsed_at + late, lapsed_at + left

    at = _next(
        lapsed_at,
        _policy(quiet),
        pushes_made=pushes_made,
        due_date=due_date,
        now=now,
        payable_until=payable_until,
    )

    if pushes_made >= 3:
        assert at is None
    if at is not None:
        assert now <= at < payable_until
        assert not _is_quiet(at, quiet)


@given(_INSTANTS, st.dates(date(2026, 2, 1), date(2026, 12, 31)))
def test_last_push_is_on_the_morning_of_the_due_date(lapsed_at: datetime, due_date: date) -> None:
    """The last time I am asked is at nine on the day that matters, summer and winter."""
    at = _next(lapsed_at, pushes_made=2, due_date=due_date, payable_until=lapsed_at + 400 * DAY)

    assert at is not None
    if (nine := datetime.combine(due_date, time(9), OSLO).astimezone(UTC)) > lapsed_at:
        assert at == nine
    else:
        assert at >= lapsed_at + 2 * DAY


def test_push_follows_a_lapse_after_two_days() -> None:
    """Whoever let it lapse is left in peace for as long as the policy says."""
    assert _next(_oslo(2026, 11, 2, 12)) == _oslo(2026, 11, 4, 12)


def test_push_waits_for_the_morning() -> None:
    """What falls into the night comes when it ends; the evening's last minute is still day."""
    assert _next(_oslo(2026, 11, 2, 23)) == _oslo(2026, 11, 5, 8)
    assert _next(_oslo(2026, 11, 2, 2)) == _oslo(2026, 11, 4, 8)
    assert _next(_oslo(2026, 11, 2, 20, 59)) == _oslo(2026, 11, 4, 20, 59)
    assert _next(_oslo(2026, 11, 2, 8)) == _oslo(2026, 11, 4, 8)


def test_push_that_is_late_waits_for_the_morning_too() -> None:
    """After a night without the service nobody is asked at three."""
    lapsed_at, now = _oslo(2026, 11, 2, 20, 59), _oslo(2026, 11, 5, 3)

    assert _next(lapsed_at, now=now) == _oslo(2026, 11, 5, 8)


@pytest.mark.parametrize(
    ("lapsed_at", "morning"),
    [
        (_oslo(2026, 3, 26, 23), datetime(2026, 3, 29, 6, tzinfo=UTC)),
        (_oslo(2026, 10, 22, 23), datetime(2026, 10, 25, 7, tzinfo=UTC)),
    ],
)
def test_morning_is_at_eight_also_when_the_clocks_change(
    lapsed_at: datetime, morning: datetime
) -> None:
    """In the nights that have 23 and 25 hours, morning is what the clock on the wall says."""
    assert _next(lapsed_at) == morning


def test_quiet_hours_that_end_in_the_hour_that_comes_twice_are_kept_twice() -> None:
    """At half past two the second time it is still night."""
    second_two = datetime(2026, 10, 25, 1, 10, tzinfo=UTC)

    due_at = after_quiet_hours(second_two, _policy(QuietHours(time(21), time(2, 30))))

    assert due_at == datetime(2026, 10, 25, 1, 30, tzinfo=UTC)


def test_pushes_before_the_last_come_no_later_than_the_due_date() -> None:
    """A lapse on the eve of the due date is followed by its morning, not by the day after."""
    lapsed_at = _oslo(2026, 11, 30, 18)

    assert _next(lapsed_at, due_date=date(2026, 12, 1)) == _oslo(2026, 12, 1, 9)


def test_push_at_the_very_end_is_not_sent() -> None:
    """Nobody is asked for what can't be paid any more; a second before, it can."""
    lapsed_at, at = _oslo(2026, 11, 2, 12), _oslo(2026, 11, 4, 12)

    assert _next(lapsed_at, payable_until=at) is None
    assert _next(lapsed_at, payable_until=at + timedelta(seconds=1)) == at


def test_policy_without_pushes_asks_never() -> None:
    """Who wants to ask by hand only sets the most to nought."""
    assert _next(_oslo(2026, 11, 2, 12), _policy(pushes_max=0)) is None
