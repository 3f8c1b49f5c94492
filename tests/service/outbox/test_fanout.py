"""From the feed to deliveries."""

from datetime import timedelta

import sqlalchemy as sa

from service.outbox import subscriptions
from service.outbox.fanout import fan_out
from service.outbox.rows import FANOUT
from service.store.db import Database
from service.store.tables import Delivery, Fanout, SubscriptionStatus
from tests.service.outbox.builders import MSN, NOW, ONLY_POSTGRESQL, Shop, a_shop

_OTHER_MSN = "654321"


def _fan_out(shop: Shop, limit: int = 100) -> int:
    with shop.database.transaction() as session:
        return fan_out(session, now=shop.now, limit=limit)


def test_fan_out_makes_one_delivery_for_each_that_asked(database: Database) -> None:
    """Each of my systems is owed the events it asked for, and no other."""
    shop = a_shop(database)
    every, _ = shop.subscribe()
    captured, _ = shop.subscribe("https://b.example/", "invoice.captured")
    first = shop.tell("inv_1", "invoice.pushed")
    second = shop.tell("inv_1", "invoice.captured")
    third = shop.tell(None, "customer.withdrawn")

    handled = _fan_out(shop)
    nothing = _fan_out(shop)

    owed = {(d.subscription_id, d.event_id, d.line, d.position) for d in shop.all(Delivery)}
    assert (handled, nothing) == (3, 0)
    assert owed == {
        (every, first, "inv_1", 1),
        (every, second, "inv_1", 2),
        (every, third, third, 3),
        (captured, second, "inv_1", 2),
    }


def test_fan_out_leaves_out_the_deleted_the_disabled_and_what_came_before(
    database: Database,
) -> None:
    """A subscription gets what comes after it was made, while it is on."""
    shop = a_shop(database)
    shop.tell()
    off, _ = shop.subscribe(status=SubscriptionStatus.DISABLED)
    deleted, _ = shop.subscribe()
    with database.transaction() as session:
        subscriptions.delete(session, msn=MSN, subscription_id=deleted, now=NOW)
    new, _ = shop.subscribe()
    after = shop.tell()

    _fan_out(shop)

    assert [(d.subscription_id, d.event_id) for d in shop.all(Delivery)] == [(new, after)]
    assert off != new


def test_fan_out_repeated_after_a_crash_owes_each_event_once(database: Database) -> None:
    """Should the position be lost, nothing is sent to me twice for it."""
    shop = a_shop(database)
    shop.subscribe()
    shop.tell()
    _fan_out(shop)
    with database.transaction() as session:
        session.execute(sa.update(FANOUT).values(position=0))

    handled = _fan_out(shop)

    assert handled == 1
    assert len(shop.all(Delivery)) == 1


def test_fan_out_in_small_steps_comes_to_the_end_in_order(database: Database) -> None:
    """A long feed is worked off piece by piece, without a gap."""
    shop = a_shop(database)
    shop.subscribe()
    events = [shop.tell(f"inv_{n}") for n in range(7)]

    handled = [_fan_out(shop, limit=3) for _ in range(4)]

    assert handled == [3, 3, 1, 0]
    assert [d.event_id for d in shop.all(Delivery)] == events
    assert shop.all(Fanout)[0].position == 7


def test_fan_out_with_one_unit_far_behind_serves_the_others(database: Database) -> None:
    """Another merchant's backlog does not delay my events."""
    shop = a_shop(database, MSN, _OTHER_MSN)
    shop.subscribe()
    mine, _ = shop.subscribe(msn=_OTHER_MSN)
    for _ in range(50):
        shop.tell()
    shop.tell(msn=_OTHER_MSN)

    handled = _fan_out(shop, limit=10)

    assert handled == 6
    assert len(shop.all(Delivery, Delivery.subscription_id == mine)) == 1


@ONLY_POSTGRESQL
def test_fan_out_of_a_unit_in_another_process_skips_it(database: Database) -> None:
    """Two processes share the work without waiting for, or repeating, each other."""
    shop = a_shop(database, MSN, _OTHER_MSN)
    shop.subscribe()
    shop.tell()
    with database.transaction() as theirs:
        assert fan_out(theirs, now=NOW, limit=10) == 1

        handled = _fan_out(shop)

    assert handled == 0
    assert len(shop.all(Delivery)) == 1


@ONLY_POSTGRESQL
def test_subscribe_while_events_are_told_misses_none_after_its_position(
    database: Database,
) -> None:
    """From the position my subscription notes, I get everything, however close the race."""
    shop = a_shop(database)
    with database.transaction() as session:
        made, _ = subscriptions.create(
            session,
            shop.vault,
            msn=MSN,
            url="https://merchant.example/",
            event_types=["*"],
            description=None,
            allow=(),
            now=NOW,
        )
        event = shop.tell()
        too_early = _fan_out(shop)
    handled = _fan_out(shop)

    owed = shop.all(Delivery, Delivery.event_id == event)
    assert (too_early, handled) == (0, 1)
    assert [d.subscription_id for d in owed] == [made.id]
    assert owed[0].next_attempt_at - NOW == timedelta()
