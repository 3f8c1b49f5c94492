"""How a subscription fares: each step at its edge, and what holds on every way."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhooks.health import (
    DISABLED_AFTER,
    PARKED_AFTER,
    PROBE_EVERY_S,
    REST_MAX_S,
    Health,
    SubscriptionStatus,
    Verdict,
    disable,
    enable,
    judge,
    rest_s,
)

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
_DOWN = ("healthy", "degraded", "parked", "disabled")
_MOMENT = timedelta(microseconds=1)


def _failing(status: str, failures: int, since: datetime = NOW) -> Health:
    return Health(SubscriptionStatus(status), failures, since, "timeout")


@pytest.mark.parametrize("status", ["unverified", "healthy", "degraded", "parked"])
def test_judge_accepted_makes_healthy_at_once(status: str) -> None:
    """One 2xx and everything is as if nothing had ever failed."""
    after = judge(_failing(status, 99), Verdict.ACCEPTED, at=NOW, why="")

    assert after == Health(SubscriptionStatus.HEALTHY)


@pytest.mark.parametrize(("before", "status"), [(2, "healthy"), (3, "degraded"), (4, "degraded")])
def test_judge_fourth_failure_in_a_row_degrades(before: int, status: str) -> None:
    """Three failures are bad luck, the fourth is a state with a reason."""
    after = judge(_failing("healthy", before), Verdict.REFUSED, at=NOW, why="status_503")

    reason = None if status == "healthy" else "status_503"
    assert (after.status, after.failures, after.reason) == (status, before + 1, reason)


@pytest.mark.parametrize(
    ("status", "lasted", "expected"),
    [
        ("degraded", PARKED_AFTER - _MOMENT, "degraded"),
        ("degraded", PARKED_AFTER, "parked"),
        ("degraded", DISABLED_AFTER * 3, "parked"),
        ("parked", DISABLED_AFTER - _MOMENT, "parked"),
        ("parked", DISABLED_AFTER, "disabled"),
        ("unverified", DISABLED_AFTER - _MOMENT, "unverified"),
        ("unverified", DISABLED_AFTER, "disabled"),
        ("healthy", PARKED_AFTER, "healthy"),
    ],
)
def test_judge_failing_for_long_goes_down_one_step(
    status: str, lasted: timedelta, expected: str
) -> None:
    """A day of failures parks, five days disable, and no step is left out."""
    after = judge(_failing(status, 1), Verdict.REFUSED, at=NOW + lasted, why="refused")

    assert after.status == expected
    assert after.failing_since == NOW


@pytest.mark.parametrize("status", ["unverified", "healthy", "degraded", "parked"])
def test_judge_gone_disables_from_everywhere(status: str) -> None:
    """410 means what it says, at once."""
    after = judge(Health(SubscriptionStatus(status)), Verdict.GONE, at=NOW, why="status_410")

    assert (after.status, after.reason) == (SubscriptionStatus.DISABLED, "gone")


@pytest.mark.parametrize("verdict", list(Verdict))
def test_judge_disabled_stays_as_it_is(verdict: Verdict) -> None:
    """What was under way when it was disabled does not turn it on, nor change the reason."""
    disabled = Health(SubscriptionStatus.DISABLED, 7, NOW, "gone")

    assert judge(disabled, verdict, at=NOW + PARKED_AFTER, why="timeout") == disabled


@pytest.mark.parametrize("status", list(SubscriptionStatus))
@pytest.mark.parametrize("is_verified", [True, False])
def test_enable_trusts_only_who_has_answered(status: SubscriptionStatus, is_verified: bool) -> None:
    """Enabling wipes the failures; who never said 2xx must say it first."""
    after = enable(_failing(status, 5), is_verified=is_verified)

    is_healthy = is_verified and status != SubscriptionStatus.UNVERIFIED
    assert after == Health(SubscriptionStatus("healthy" if is_healthy else "unverified"))


def test_disable_says_who_did_it_and_keeps_an_older_reason() -> None:
    """I can see whether I stopped it myself or it was stopped before."""
    mine = disable(Health(SubscriptionStatus.HEALTHY))
    again = disable(_failing("disabled", 5))

    assert (mine.status, mine.reason) == (SubscriptionStatus.DISABLED, "by_merchant")
    assert again == _failing("disabled", 5)


@pytest.mark.parametrize(
    ("status", "failures", "expected"),
    [
        ("unverified", 9, 0.0),
        ("healthy", 3, 0.0),
        ("degraded", 4, 5.0),
        ("degraded", 5, 10.0),
        ("degraded", 10_000, REST_MAX_S),
        ("degraded", 1, 5.0),
        ("parked", 10_000, PROBE_EVERY_S),
        ("disabled", 9, 0.0),
    ],
)
def test_rest_s_grows_to_its_limit(status: str, failures: int, expected: float) -> None:
    """Who fails is tried less and less, but never later than in half an hour."""
    assert rest_s(_failing(status, failures)) == expected


_ANSWERS = st.lists(
    st.tuples(
        st.sampled_from([Verdict.REFUSED] * 6 + [Verdict.ACCEPTED, Verdict.GONE]),
        st.integers(0, 40 * 3600),
    ),
    max_size=60,
)


@given(answers=_ANSWERS, first=st.sampled_from(["unverified", "healthy"]))
def test_judge_on_every_way_keeps_its_promises(
    answers: list[tuple[Verdict, int]], first: str
) -> None:
    """Whatever a receiver says and when: the way down is step by step and never too early."""
    health, at, failures = Health(SubscriptionStatus(first)), NOW, 0

    for verdict, after_s in answers:
        at += timedelta(seconds=after_s)
        before, health = health, judge(health, verdict, at=at, why="refused")
        if before.status == "disabled":
            assert health == before
            continue
        failures = 0 if verdict is Verdict.ACCEPTED else failures + 1
        assert health.failures == failures
        assert (health.failing_since is None) == (failures == 0)
        assert (health.reason is None) == (
            health.status == "healthy" or (health.status == "unverified" and failures == 0)
        )
        if verdict is not Verdict.REFUSED:
            continue
        lasted = at - (health.failing_since or at)
        if before.status in _DOWN:
            assert _DOWN.index(health.status) - _DOWN.index(before.status) in (0, 1)
        if health.status == "degraded":
            assert failures >= 4
        if health.status == "parked":
            assert lasted >= PARKED_AFTER
        if health.status == "disabled":
            assert lasted >= DISABLED_AFTER
