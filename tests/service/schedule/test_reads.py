"""When a payment is read: often where something happens, rarely where nothing does."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from service.schedule.reads import DAY, next_read_when_paid, next_read_while_live, spread_s

MADE = datetime(2026, 11, 22, 10, tzinfo=UTC)
_LIVES = st.timedeltas(timedelta(minutes=10), 60 * DAY)


def _all(
    next_read: Callable[[datetime], datetime | None], *, since: datetime, until: datetime
) -> list[datetime]:
    """Return every read that is due, each at the moment it is."""
    found = list[datetime]()
    at = next_read(since)
    while at is not None and at <= until:
        found.append(at)
        at = next_read(at)
    return found


def _while_live(ends_at: datetime, *, until: datetime) -> list[datetime]:
    return _all(lambda seen: next_read_while_live(MADE, ends_at, seen), since=MADE, until=until)


@given(_LIVES, st.timedeltas(timedelta(0), 70 * DAY))
def test_next_read_lies_always_ahead(life: timedelta, looked: timedelta) -> None:
    """Looking never makes it due at once again."""
    looked_at = MADE + looked

    at = next_read_while_live(MADE, MADE + life, looked_at)

    assert looked_at < at <= looked_at + DAY


@given(_LIVES)
def test_reads_stay_far_inside_vipps_limit(life: timedelta) -> None:
    """Of 120 reads a minute that Vipps allows we use a handful, and few in all."""
    reads = _while_live(MADE + life, until=MADE + life + DAY)

    a_minute = timedelta(minutes=1)
    assert max(sum(at <= other < at + a_minute for other in reads) for at in reads) <= 4
    assert len(reads) <= 9 + 7 + life // DAY + 2


@given(_LIVES)
def test_end_is_looked_at_at_once_and_until_it_is_known(life: timedelta) -> None:
    """A request that runs out is seen to have run out within seconds, not a day later."""
    ends_at = MADE + life

    reads = _while_live(ends_at, until=ends_at + 3 * DAY)

    after = [at - ends_at for at in reads if at > ends_at]
    assert after[:3] == [timedelta(seconds=s) for s in (2, 15, 60)]
    assert max(later - sooner for sooner, later in pairwise(after)) == DAY


def test_first_minutes_are_watched_and_weeks_are_not() -> None:
    """Four reads in ten minutes; then fewer and fewer, but never none for longer than a day."""
    reads = _while_live(MADE + 60 * DAY, until=MADE + 59 * DAY)

    assert len([at for at in reads if at <= MADE + timedelta(minutes=10)]) == 4
    assert 60 < len(reads) < 75
    assert max(b - a for a, b in pairwise(reads)) == DAY


def test_reservation_is_read_daily_while_something_is_open() -> None:
    """What I or Vipps's portal do to reserved money is seen within a day."""
    reads = _all(
        lambda seen: next_read_when_paid(MADE, seen, is_open=True),
        since=MADE,
        until=MADE + 90 * DAY,
    )

    assert len(reads) == 90


def test_settled_payment_is_read_less_and_less_and_at_last_no_more() -> None:
    """Refunds are possible for a year; then there is nothing left to see."""
    reads = _all(
        lambda seen: next_read_when_paid(MADE, seen, is_open=False),
        since=MADE,
        until=MADE + 2000 * DAY,
    )

    assert len([at for at in reads if at <= MADE + 14 * DAY]) == 14
    assert MADE + 365 * DAY < reads[-1] < MADE + 380 * DAY
    assert 60 < len(reads) < 70


def test_reservation_that_nobody_ever_settles_is_left_alone_in_the_end() -> None:
    """No reservation lives for a year; an old one costs no read for ever."""
    reads = _all(
        lambda seen: next_read_when_paid(MADE, seen, is_open=True),
        since=MADE,
        until=MADE + 2000 * DAY,
    )

    assert reads[-1] < MADE + 370 * DAY


def test_late_reads_are_spread_evenly_and_others_are_not_late() -> None:
    """A pile is read over half a day; what is due as planned is read at once."""
    names = [f"pay_{number}" for number in range(2000)]

    in_time = {spread_s(timedelta(hours=1), name) for name in names}
    late = [spread_s(timedelta(hours=1, seconds=1), name) for name in names]

    by_hour = Counter(int(wait_s // 3600) for wait_s in late)
    assert in_time == {0.0}
    assert late == [spread_s(timedelta(days=400), name) for name in names]
    assert by_hour.keys() == set(range(12))
    assert max(by_hour.values()) < 2 * min(by_hour.values())
