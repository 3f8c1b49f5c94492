"""What fails is looked after often while that is cheap, and rarely while it is not."""

import pytest

from service.outbox.pace import Pace


@pytest.mark.parametrize(
    ("took_s", "rest_s"),
    [(0.001, 0.125), (0.012, 0.125), (0.02, 0.2), (0.15, 1.5), (0.5, 2.0)],
)
def test_looks_take_a_tenth_of_the_time(took_s: float, rest_s: float) -> None:
    """Unless they are so short that nobody notices, or so long that the tries would stop."""
    pace = Pace()
    assert pace.is_due(100.0)

    pace.looked(100.0, 100.0 + took_s, claimed=50, failed=50)

    assert not pace.is_due(100.0 + rest_s - 0.001)
    assert pace.is_due(100.0 + rest_s + 0.001)
    assert pace.rest_s(100.1) == pytest.approx(rest_s - 0.1)
    assert pace.rest_s(100.0 + rest_s + 1) == 0


@pytest.mark.parametrize(
    ("took_s", "claimed", "failed", "rest_s"),
    [
        (0.02, 0, 0, 1.0),
        (0.001, 1, 0, 0.25),
        (0.01, 4, 0, 1.0),
        (0.01, 0, 4, 3.0),
        (0.5, 0, 0, 2.0),
    ],
)
def test_looks_are_rarer_while_others_are_told(
    took_s: float, claimed: int, failed: int, rest_s: float
) -> None:
    """Then they take a fiftieth of the time, and each try that fails again a second of it."""
    pace = Pace()
    pace.met_others(99.5)

    pace.looked(100.0, 100.0 + took_s, claimed=claimed, failed=failed)

    assert not pace.is_due(100.0 + rest_s - 0.001)
    assert pace.is_due(100.0 + rest_s + 0.001)


def test_looks_are_frequent_again_once_nobody_else_is_told() -> None:
    """A second after the last of the others, the time is theirs."""
    pace = Pace()
    pace.met_others(99.0)

    pace.looked(100.001, 100.101, claimed=8, failed=8)

    assert pace.is_due(101.002)
