"""A reader of the feed sees every event once, in order, however many write at once (I8)."""

from tests.feed_writers import prove

EVENTS = 1_000


def test_reader_that_stops_and_starts_sees_each_event_once_in_order(database_url: str) -> None:
    """Eight write at once; I break off, start again, and skip and repeat nothing.

    The same with 100 000 events: `make torture`."""
    reader = prove(database_url, EVENTS, seed=8)

    assert reader.wrong == []
    assert reader.events >= EVENTS
    assert reader.restarts > 0
