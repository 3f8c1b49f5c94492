"""A signature holds for a few minutes, and for one spelling of its date."""

from datetime import timedelta

import pytest

from tests.webhooks.builders import DATE, NOW, SECRET, a_signed_request, with_header
from webhooks import vipps
from webhooks.errors import MalformedHeader, StaleTimestamp


@pytest.mark.parametrize("offset_s", [-300, -299, 0, 299, 300])
def test_verify_inside_the_window_passes(offset_s: int) -> None:
    """Five minutes of difference between two clocks are forgiven, the fifth included."""
    now = NOW + timedelta(seconds=offset_s)

    assert vipps.verify(a_signed_request(), [SECRET], now) == 0


@pytest.mark.parametrize("offset_s", [-691_200, -301, -300.001, 300.001, 301, 691_200])
def test_verify_outside_the_window_is_stale(offset_s: float) -> None:
    """What was recorded yesterday cannot be played again today, nor tomorrow's today."""
    now = NOW + timedelta(seconds=offset_s)

    with pytest.raises(StaleTimestamp):
        vipps.verify(a_signed_request(), [SECRET], now)


def test_verify_with_another_tolerance_moves_the_window() -> None:
    """An operator with a bad clock can widen the window."""
    now = NOW + timedelta(seconds=900)

    assert vipps.verify(a_signed_request(), [SECRET], now, tolerance_s=900) == 0


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"2026-11-22T10:00:00Z",
        b"Mon, 22 Nov 2026 10:00:00 GMT",
        b"Sun, 22 Nov 2026 10:00:00 +0000",
        b"Sun, 22 Nov 2026 10:00:00 UTC",
        b"Sun, 22 Nov 2026 10:00:00",
        b"Sun, 22 Nov 26 10:00:00 GMT",
        b"Sun, 22 nov 2026 10:00:00 GMT",
        b"Sunday, 22-Nov-26 10:00:00 GMT",
        b"Sun Nov 22 10:00:00 2026",
        b"Sun, 2 Nov 2026 10:00:00 GMT",
        b"Sun, 31 Feb 2026 10:00:00 GMT",
        b"Sun, 22 Nov 2026 24:00:00 GMT",
        b"Sun, 22 Nov 2026 10:00:60 GMT",
        b"Sun, 22 Nov 0000 10:00:00 GMT",
        b"Sun, 22 Nov 2026 10:00:00 GMT\n",
        b" Sun, 22 Nov 2026 10:00:00 GMT",
        "Sun, ٢٢ Nov 2026 10:00:00 GMT".encode(),
        b"\xff" * 29,
    ],
)
def test_date_in_another_form_is_malformed(value: bytes) -> None:
    """A date is written one way, with the right weekday, or it is not Vipps's."""
    request = with_header(a_signed_request(), DATE, value)

    with pytest.raises(MalformedHeader):
        vipps.verify(request, [SECRET], NOW)
