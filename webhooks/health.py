"""Decide how a subscription fares, from what its receiver said: values in, values out.

`unverified` -> `healthy` -> `degraded` -> `parked` -> `disabled` (contract, section 6). The way
down goes one step at a time, so that a service which was itself away for a week does not disable
everybody at its first failure; the way up is one 2xx.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

# Four in a row take more than six minutes of the schedule: no restart or deploy lasts so long.
DEGRADED_AFTER_FAILURES = 4
PARKED_AFTER = timedelta(hours=24)
DISABLED_AFTER = timedelta(days=5)
# While parked, the oldest delivery asks so often whether the receiver is back.
PROBE_EVERY_S = 1800.0
# While degraded one delivery is tried at a time, after a rest that doubles from the first to the
# second: a thousand dead receivers are then sixteen tries a second, however much they are owed.
REST_FIRST_S, REST_MAX_S = 5.0, 60.0
# Sixteen doublings are far beyond that limit; a larger power would only overflow.
_DOUBLINGS_MAX = 16

GONE, BY_MERCHANT = "gone", "by_merchant"


class SubscriptionStatus(StrEnum):
    """How a subscription fares."""

    UNVERIFIED = "unverified"  # no 2xx yet: at most one delivery at a time
    HEALTHY = "healthy"
    DEGRADED = "degraded"  # the last four or more tries have failed: one at a time
    PARKED = "parked"  # only failing for a day: a probe every half hour, everything is kept
    DISABLED = "disabled"  # nothing is sent until it is enabled again


class Verdict(StrEnum):
    """What one answer means for its subscription."""

    ACCEPTED = "accepted"  # 2xx
    REFUSED = "refused"  # any other answer, or none
    GONE = "gone"  # 410: the receiver wants no more


@dataclass(frozen=True, slots=True)
class Health:
    """How a subscription fares, and since when.

    `failures` counts those in a row, `failing_since` is the first of them. `reason` says in a word
    why the status is not `healthy`."""

    status: SubscriptionStatus
    failures: int = 0
    failing_since: datetime | None = None
    reason: str | None = None


def judge(health: Health, verdict: Verdict, *, at: datetime, why: str) -> Health:
    """Return how a subscription fares after one more answer.

    `at` is when the attempt began, `why` the failure in a word. What was still under way when a
    subscription was disabled changes nothing: only enabling it does."""
    if health.status is SubscriptionStatus.DISABLED:
        return health
    if verdict is Verdict.ACCEPTED:
        return Health(SubscriptionStatus.HEALTHY)
    failed = replace(health, failures=health.failures + 1, failing_since=health.failing_since or at)
    if verdict is Verdict.GONE:
        return replace(failed, status=SubscriptionStatus.DISABLED, reason=GONE)
    status = _after_failure(failed, at)
    is_well = status is SubscriptionStatus.HEALTHY
    return replace(failed, status=status, reason=None if is_well else why)


def _after_failure(failed: Health, at: datetime) -> SubscriptionStatus:
    lasted = at - (failed.failing_since or at)
    match failed.status:
        case SubscriptionStatus.HEALTHY if failed.failures >= DEGRADED_AFTER_FAILURES:
            return SubscriptionStatus.DEGRADED
        case SubscriptionStatus.DEGRADED if lasted >= PARKED_AFTER:
            return SubscriptionStatus.PARKED
        case SubscriptionStatus.PARKED | SubscriptionStatus.UNVERIFIED if lasted >= DISABLED_AFTER:
            return SubscriptionStatus.DISABLED
    return failed.status


def enable(health: Health, *, is_verified: bool) -> Health:
    """Return how a subscription fares once its merchant has asked to send again.

    One that never answered 2xx has to prove itself first; nobody can say for it that it does."""
    is_new = not is_verified or health.status is SubscriptionStatus.UNVERIFIED
    return Health(SubscriptionStatus.UNVERIFIED if is_new else SubscriptionStatus.HEALTHY)


def disable(health: Health) -> Health:
    """Return how a subscription fares once its merchant has stopped it."""
    if health.status is SubscriptionStatus.DISABLED:
        return health
    return replace(health, status=SubscriptionStatus.DISABLED, reason=BY_MERCHANT)


def rest_s(health: Health) -> float:
    """Return for how long nothing is tried after a failure that has led to this health.

    0 where only the schedule of each delivery counts."""
    if health.status is SubscriptionStatus.PARKED:
        return PROBE_EVERY_S
    if health.status is SubscriptionStatus.DEGRADED:
        doublings = min(max(0, health.failures - DEGRADED_AFTER_FAILURES), _DOUBLINGS_MAX)
        return min(REST_FIRST_S * 2.0**doublings, REST_MAX_S)
    return 0.0
