"""Instants cross the wire without losing a second."""

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from webhooks import instants

ZONES = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
INSTANTS = st.datetimes(datetime(1900, 1, 1), datetime(9000, 1, 1), timezones=ZONES)  # noqa: DTZ001


@given(at=INSTANTS)
def test_http_date_written_and_read_is_the_same_second(at: datetime) -> None:
    """What we write into a header, a strict reader reads."""
    text = instants.format_http_date(at)

    assert instants.parse_http_date(text.encode()) == at.astimezone(UTC).replace(microsecond=0)


@given(at=INSTANTS)
def test_rfc3339_written_by_python_is_read_exactly(at: datetime) -> None:
    """Every offset is understood."""
    assert instants.parse_rfc3339(at.isoformat()) == at


@given(text=st.text(alphabet="0123456789-:TZ+. ") | st.text())
def test_instant_parsers_never_raise(text: str) -> None:
    """What is no instant is None, never a crash."""
    read = (instants.parse_rfc3339(text), instants.parse_http_date(text.encode("utf-8", "replace")))

    assert all(at is None or at.tzinfo is UTC for at in read)
