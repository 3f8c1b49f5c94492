"""When the service asks a customer again by itself: the policy of contract section 2.

Only pushes that nobody asked for obey it; what a merchant or the customer asks for goes at
once and is not counted.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from service.settings import QuietHours

# The last push, and one on the day that the customer chose, come in the morning of the day that
# matters, when there is time to pay.
MORNING = time(9, 0)


@dataclass(frozen=True, slots=True)
class PushPolicy:
    """One sales unit's policy; `zone` is where its customers' nights are."""

    zone: ZoneInfo
    push_again_after_s: int
    pushes_max: int
    quiet_hours: QuietHours | None


def next_push_at(
    policy: PushPolicy,
    *,
    lapsed_at: datetime,
    now: datetime,
    pushes_made: int,
    due_date: date | None,
    payable_until: datetime,
) -> datetime | None:
    """Return when to ask again after a payment that lapsed; None = not any more.

    Never before `now`: what is late is sent now, or after the night. `pushes_made` counts our
    own only. The last of them is kept for 09:00 on the due date, while that is ahead."""
    if pushes_made >= policy.pushes_max:
        return None
    again = lapsed_at + timedelta(seconds=policy.push_again_after_s)
    last = _last_push_at(policy, due_date)
    if last is not None and last > lapsed_at:
        is_last = pushes_made == policy.pushes_max - 1
        again = last if is_last else min(again, last)
    at = after_quiet_hours(max(again, now), policy)
    return at if at < payable_until else None


def after_quiet_hours(at: datetime, policy: PushPolicy) -> datetime:
    """Return the instant itself, or the end of the quiet hours that it falls into."""
    if policy.quiet_hours is None:
        return at
    local = at.astimezone(policy.zone)
    start, end = policy.quiet_hours.start, policy.quiet_hours.end
    clock = local.time()
    if start <= end:
        is_quiet, day = start <= clock < end, local.date()
    else:  # over midnight: the evening's part ends the next morning
        is_quiet = clock >= start or clock < end
        day = local.date() + timedelta(days=1 if clock >= start else 0)
    if not is_quiet:
        return at
    ends = datetime.combine(day, end, policy.zone)
    # In the night of autumn in which an hour comes twice, the first may have passed.
    first, second = ends.astimezone(UTC), ends.replace(fold=1).astimezone(UTC)
    return first if first > at else second


def chosen_push_at(policy: PushPolicy, day: date, *, now: datetime) -> datetime:
    """Return when to ask on the day that the customer chose: in its morning, never at night.

    What is late is sent now, or after the night."""
    return after_quiet_hours(max(_morning_of(day, policy), now), policy)


def _last_push_at(policy: PushPolicy, due_date: date | None) -> datetime | None:
    return _morning_of(due_date, policy) if due_date else None


def _morning_of(day: date, policy: PushPolicy) -> datetime:
    return datetime.combine(day, MORNING, policy.zone).astimezone(UTC)
