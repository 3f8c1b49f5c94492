"""Subscriptions of before go on after the upgrade, with all that they are owed."""

from datetime import UTC, datetime

import sqlalchemy as sa

from service.store.db import Database
from service.store.schema import migrate
from service.store.tables import Attempt, Delivery, Subscription
from tests.service.store.test_upgrade_0003 import _UNIT, empty, upgrade_to

__all__ = ["empty"]

_SUBSCRIPTION = (
    "INSERT INTO subscription (id, msn, url, event_types, secrets, is_in_order, status,"
    " from_position, created_at) VALUES (:id, '123456', :sealed, '[\"*\"]', :sealed, :yes, :status,"
    " 0, :at)"
)
_DELIVERY = (
    "INSERT INTO delivery (id, msn, subscription_id, event_id, line, position, status, attempts,"
    " next_attempt_at, created_at) VALUES (:id, '123456', :id, :id, 'inv_1', 1, 'pending', 1,"
    " :at, :at)"
)
_ATTEMPT = (
    "INSERT INTO attempt (delivery_id, number, at, status, latency_ms) VALUES (:id, 1, :at, 503, 7)"
)
_AT = datetime(2026, 11, 22, 10, tzinfo=UTC)


def test_upgrade_from_0006_keeps_deliveries_and_has_subscriptions_looked_at(
    empty: Database,
) -> None:
    """What I was owed before the upgrade is still owed, and looked for at once."""
    upgrade_to(empty, "0006")
    with empty.migration() as connection:
        connection.execute(sa.text(_UNIT))
        for status in ("unverified", "healthy", "disabled"):
            given = {"id": status, "at": str(_AT)}
            row = {**given, "sealed": b"s", "status": status, "yes": True}
            connection.execute(sa.text(_SUBSCRIPTION), row)
            connection.execute(sa.text(_DELIVERY), given)
            connection.execute(sa.text(_ATTEMPT), given)

    migrate(empty)

    with empty.transaction() as session:
        found = {
            name: session.get_one(Subscription, name)
            for name in ("unverified", "healthy", "disabled")
        }
        assert {k: s.ready_at for k, s in found.items()} == {
            "unverified": _AT,
            "healthy": _AT,
            "disabled": None,
        }
        assert {k: s.verified_at is not None for k, s in found.items()} == {
            "unverified": False,
            "healthy": True,
            "disabled": True,
        }
        assert [s.failures for s in found.values()] == [0, 0, 0]
        delivery = session.get_one(Delivery, "healthy")
        assert (delivery.attempts, delivery.attempts_before, delivery.is_in_line) == (1, 0, True)
        assert session.get_one(Attempt, ("healthy", 1)).status == 503
        found["healthy"].status = "parked"
        session.flush()
