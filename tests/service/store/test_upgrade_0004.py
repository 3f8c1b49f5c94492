"""Webhooks of before their headers were kept stay what they were."""

from sqlalchemy import text

from service.store.db import Database
from service.store.schema import migrate, require_current
from service.store.tables import StoredVippsEvent
from tests.service.store.test_upgrade_0003 import empty, upgrade_to

__all__ = ["empty"]

_EVENT = (
    "INSERT INTO vipps_event (id, msn, source, received_at, outcome, raw, raw_hash) VALUES"
    " ('vev_1', '123456', 'webhook', '2026-11-22 10:00:00+00:00', 'unmatched', :raw, :raw)"
)


def test_upgrade_from_0003_keeps_events_without_headers(empty: Database) -> None:
    """An old webhook has its body and no headers after the upgrade."""
    upgrade_to(empty, "0003")
    with empty.migration() as connection:
        connection.execute(text(_EVENT), {"raw": b"sealed"})

    migrate(empty)

    require_current(empty)
    with empty.snapshot() as session:
        row = session.get(StoredVippsEvent, "vev_1")
        assert row is not None and (bytes(row.raw), row.headers) == (b"sealed", None)
