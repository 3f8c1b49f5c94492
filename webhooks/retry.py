"""Decide when to try again: clock, dice and the other side's wish come in, an instant goes out."""

from __future__ import annotations

import math
import re
from datetime import datetime, timedelta

from webhooks.instants import parse_http_date

# The example schedule of the Standard Webhooks specification with one minute added: quick for a
# restart, minutes for a deploy, then hours, until a weekend has passed.
STEPS_S = (5, 60, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)
# Deliveries that failed together (a receiver was down) must not come back together.
JITTER_SHARE = 0.2
# A receiver may ask for more time, but cannot park its queue for years.
RETRY_AFTER_STEPS_MAX = 2
# Vipps may ask for more than our own cap, yet a slip of a digit must not park a command for years.
RETRY_AFTER_S_MAX = 86_400

# Nine digits are thirty years; more is not a wish but noise.
_SECONDS = re.compile(r"[0-9]{1,9}")
# 2^30 steps are beyond any cap; a larger power would only overflow.
_DOUBLINGS_MAX = 30


def next_attempt_at(
    attempt: int,
    now: datetime,
    *,
    jitter: float,
    retry_after_s: int | None = None,
) -> datetime | None:
    """Return when to try a delivery again, or None where it is given up.

    `attempt` is the number of tries made, at least 1; `jitter` from -1 to 1 moves the step by up to
    a fifth. `retry_after_s` (see `parse_retry_after`) can only postpone, and to no more than twice
    the step. Raises: ValueError.
    """
    if attempt < 1:
        raise ValueError("attempt counts the tries made, from 1")
    if attempt > len(STEPS_S):
        return None
    step_s = STEPS_S[attempt - 1]
    wait_s = _jittered(step_s, jitter)
    if retry_after_s is not None:
        wait_s = max(wait_s, min(retry_after_s, RETRY_AFTER_STEPS_MAX * step_s))
    return now + timedelta(seconds=wait_s)


def backoff_s(
    attempt: int,
    *,
    jitter: float,
    base_s: float,
    cap_s: float,
    retry_after_s: int | None = None,
) -> float:
    """Return how long to wait before a command to Vipps is tried again.

    Doubles from `base_s` after the first try up to `cap_s`, moved by up to a fifth (`jitter` from
    -1 to 1). `retry_after_s` is honoured beyond the cap, up to a day. Raises: ValueError.
    """
    if attempt < 1:
        raise ValueError("attempt counts the tries made, from 1")
    step_s = min(base_s * 2 ** min(attempt - 1, _DOUBLINGS_MAX), cap_s)
    wait_s = _jittered(step_s, jitter)
    if retry_after_s is None:
        return wait_s
    return max(wait_s, min(retry_after_s, RETRY_AFTER_S_MAX))


def parse_retry_after(value: str, now: datetime) -> int | None:
    """Return the whole seconds that a `Retry-After` header asks for, or None.

    Takes up to nine digits, or an IMF-fixdate (rounded up, 0 if past). Source: RFC 9110 10.2.3.
    """
    if _SECONDS.fullmatch(value):
        return int(value)
    at = parse_http_date(value.encode(errors="surrogatepass"))
    return None if at is None else max(0, math.ceil((at - now).total_seconds()))


def _jittered(step_s: float, jitter: float) -> float:
    if not -1 <= jitter <= 1:
        raise ValueError("jitter is from -1 to 1")
    return step_s * (1 + JITTER_SHARE * jitter)
