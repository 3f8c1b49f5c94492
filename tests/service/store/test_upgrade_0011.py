"""A feed of before there was a broker is published from its beginning."""

from sqlalchemy import text

from service.store.db import Database
from service.store.schema import migrate, require_current
from service.store.tables import BrokerPosition
from tests.service.store.test_upgrade_0003 import _UNIT, empty, upgrade_to

__all__ = ["empty"]


def test_upgrade_from_0010_gives_every_feed_a_position(empty: Database) -> None:
    """A sales unit that has events already can be published."""
    upgrade_to(empty, "0010")
    with empty.migration() as connection:
        connection.execute(text(_UNIT))
        connection.execute(text("INSERT INTO feed (msn, position) VALUES ('123456', 7)"))

    migrate(empty)

    require_current(empty)
    with empty.snapshot() as session:
        row = session.get(BrokerPosition, "123456")
        assert row is not None and (row.position, row.reason) == (0, None)
