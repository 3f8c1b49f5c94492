"""A clock that jumps ahead decides nothing for good; where it goes back, nothing is stuck (F16)."""

from datetime import datetime, timedelta

import sqlalchemy as sa

from service.clockwork.attendant import Attendant
from service.clockwork.cleaning import Cleaner
from service.clockwork.jumps import DOUBT_S, ClockWatch
from service.commands.claim import LEASE_S, Claimed, claim
from service.outbox.deliveries import Room
from service.outbox.deliveries import claim as claim_deliveries
from service.outbox.fanout import fan_out
from service.outbox.settling import give_back
from service.store.db import Database
from service.store.tables import SalesUnit
from tests.builders import NOW, Desk, a_desk
from tests.service.outbox.builders import a_shop


class Steady:
    """The seconds of a clock that nobody can set."""

    seconds = 0.0

    def __call__(self) -> float:
        """Return them."""
        return self.seconds


def test_clock_that_jumps_ahead_ends_nothing_until_it_is_believed(database: Database) -> None:
    """What is not over does not end because a clock slipped; if it is true, it ends a bit later."""
    desk, steady = a_desk(database), Steady()
    desk.create(payable_until=NOW + timedelta(days=30), flow="WEB_REDIRECT")
    desk.settle_commands()
    watch = ClockWatch(desk.context, steady)
    attendant = Attendant(desk.context, watch.is_believed)

    desk.later(days=365)
    are_done = [attendant.attend_due()]
    watch.look()
    are_done += [attendant.attend_due(), Cleaner(desk.context, watch.is_believed).clean()]
    before = desk.invoice().state
    steady.seconds += DOUBT_S
    desk.later(seconds=DOUBT_S)
    watch.look()
    attendant.attend_due()

    assert (are_done, before) == ([False] * 3, "created")
    assert desk.invoice().state == "expired"


def test_clock_that_goes_back_lets_nothing_wait_for_what_it_said(database: Database) -> None:
    """What was planned under a clock a year ahead is done now, and its calls count no more."""
    desk = a_desk(database)
    watch = ClockWatch(desk.context, Steady())
    desk.later(days=365)
    watch.look()
    desk.create()
    cut_off = 0
    for _ in range(5):  # as many calls as Vipps allows in a while
        cut_off += len(_claimed(desk))
        desk.later(seconds=LEASE_S + 1)
    _hold(desk, until=desk.now() + timedelta(hours=1))

    desk.times.append(NOW)
    before = _claimed(desk)
    watch.look()
    desk.later(seconds=LEASE_S + 10)  # who has it in hand may still be at work

    assert (cut_off, before) == (5, [])
    assert len(_claimed(desk)) == 1
    assert desk.invoice().attend_at == NOW


def test_delivery_that_is_given_back_waits_for_no_time_that_is_over(database: Database) -> None:
    """Its place among the others is when it was made, which a clock a year ahead has said."""
    shop = a_shop(database)
    shop.subscribe()
    watch = ClockWatch(shop.context(), Steady())
    shop.now += timedelta(days=365)
    watch.look()
    shop.tell()
    with database.transaction() as session:
        fan_out(session, now=shop.now, limit=1)
        in_hand = claim_deliveries(session, now=shop.now, lease_s=30, room=Room(1, 1))

    shop.now = NOW
    watch.look()
    with database.transaction() as session:
        give_back(session, in_hand, now=NOW)
    with database.transaction() as session:
        again = claim_deliveries(session, now=NOW, lease_s=30, room=Room(1, 1))

    assert [each.id for each in again] == [each.id for each in in_hand]
    assert len(again) == 1


def _claimed(desk: Desk) -> list[Claimed]:
    context = desk.context
    with context.database.transaction() as session:
        return claim(session, context.vault, context.clock, limit=10)


def _hold(desk: Desk, *, until: datetime) -> None:
    """Have Vipps refuse the sales unit's keys, so that its calls wait."""
    with desk.context.database.transaction() as session:
        session.execute(sa.update(SalesUnit).values(held_until=until))
