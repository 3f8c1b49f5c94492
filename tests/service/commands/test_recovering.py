"""Recovery: a restored database reads at Vipps, and sends nothing before it has (F23)."""

from datetime import timedelta
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa

from service.broker import positions
from service.clockwork.attendant import Attendant
from service.commands.recovering import Recoverer
from service.commands.seeking import take_in
from service.ledger.acts import cancel
from service.ledger.invoices import create_invoice
from service.outbox.deliveries import Room, claim
from service.outbox.fanout import fan_out
from service.store.db import Database
from service.store.inserts import table_of
from service.store.recovery import Recovery, begin_recovery, recoveries
from service.store.tables import Invoice, Payment, Subscription, Unread
from service.vipps import VippsClient, new_http
from tests.builders import (
    AMOUNT,
    MSN,
    NOW,
    OTHER_MSN,
    REFERENCE,
    THE_MERCHANT,
    Desk,
    a_desk,
    a_pushed_desk,
    an_invoice,
)
from tests.service.commands.running import accepted, an_answer, claimed, kinds, ran, settled

pytestmark = pytest.mark.anyio

READ, CANCEL = "read_payment", "cancel_payment"


def restore(desk: Desk, msn: str = "") -> None:
    """Let what there is be what a backup brought back, with no payment that it does not know."""
    with desk.context.database.transaction() as session:
        begin_recovery(session, now=desk.now(), msn=msn)
    for row in desk.all(Unread):
        if desk.all(Invoice, Invoice.id == row.id):
            desk.write(partial(take_in, invoice_id=row.id, found=()))


async def look(desk: Desk) -> bool:
    """Look once, as a process does; Vipps is not there to be asked."""
    async with new_http() as http:
        return await Recoverer(desk.context, VippsClient("http://127.0.0.1:9", http)).look()


def recovering(desk: Desk) -> list[Recovery]:
    """Return who is recovering."""
    with desk.context.database.snapshot() as session:
        return recoveries(session)


async def test_restored_sales_unit_reads_before_it_sends_what_was_decided(
    database: Database,
) -> None:
    """What I had asked before the backup may have been done since: that is looked up first."""
    desk, vipps = a_pushed_desk(database)
    desk.act(cancel)
    restore(desk)

    is_under_way = await look(desk)
    first = claimed(desk)
    before = recovering(desk)
    settled(desk, ran(desk, first[0], accepted(first[0]), vipps))
    is_still_under_way = await look(desk)

    assert (is_under_way, is_still_under_way, await look(desk)) == (True, True, False)
    assert kinds(first) == [READ]
    assert before == [Recovery(MSN, NOW, 1)]
    assert recovering(desk) == []
    assert CANCEL in kinds(claimed(desk))


async def test_restored_payment_that_vipps_does_not_know_is_read_too(database: Database) -> None:
    """404 is an answer: nothing has become of it."""
    desk, _ = a_pushed_desk(database)
    restore(desk)
    await look(desk)
    (read,) = claimed(desk)

    settled(desk, ran(desk, read, an_answer(404), is_absent=True))

    assert [one.left_to_read for one in recovering(desk)] == [0]


async def test_read_that_began_before_the_recovery_does_not_count(database: Database) -> None:
    """Whoever begins it anew gets what Vipps says from then on."""
    desk, vipps = a_pushed_desk(database)
    restore(desk)
    await look(desk)
    (early,) = claimed(desk)
    restore(desk)

    settled(desk, ran(desk, early, an_answer(503)))

    assert [one.left_to_read for one in recovering(desk)] == [1]
    desk.later(minutes=1)
    (late,) = claimed(desk)
    settled(desk, ran(desk, late, accepted(late), vipps))
    assert [one.left_to_read for one in recovering(desk)] == [0]


async def test_read_that_vipps_refuses_is_asked_for_again_after_a_minute(
    database: Database,
) -> None:
    """One that can't be read keeps the sales unit in recovery, and Vipps is not pestered."""
    desk, _ = a_pushed_desk(database)
    restore(desk)
    await look(desk)
    (read,) = claimed(desk)
    settled(desk, ran(desk, read, an_answer(400, "9999")))

    await look(desk)
    at_once = claimed(desk)
    desk.later(seconds=61)
    await look(desk)

    assert at_once == []
    assert kinds(claimed(desk)) == [READ]


def test_recovery_of_one_sales_unit_holds_up_no_other(database: Database) -> None:
    """Keys that Vipps refuses keep one merchant's books unread, and the others go on."""
    desk = a_desk(database, MSN, OTHER_MSN)
    desk.create()
    desk.write(lambda book: create_invoice(book, OTHER_MSN, an_invoice(), THE_MERCHANT))

    restore(desk, OTHER_MSN)

    assert {one.msn for one in claimed(desk)} == {MSN}


def test_recovery_reads_what_vipps_may_have_moved_and_nothing_else(database: Database) -> None:
    """Alive, or with money to take or to give back; what is over can't have changed."""
    paid = {"state": "authorized", "authorized_minor": AMOUNT}
    taken = {**paid, "captured_minor": AMOUNT}
    kept: dict[str, dict[str, Any]] = {
        "was-asked-for": {"state": "requested"},
        "was-made": {"state": "created"},
        "is-reserved": paid,
        "is-captured": taken,
        "is-given-back": {**taken, "refunded_minor": AMOUNT},
        "was-released": {**paid, "cancelled_minor": AMOUNT},
        "was-refused": {"state": "aborted"},
        "has-expired": {"state": "expired"},
    }
    desk = a_desk(database)
    table = table_of(Payment)
    for number, (reference, values) in enumerate(kept.items()):
        desk.create(reference=reference, creation_hash=bytes([number]) * 32)
        with database.transaction() as session:
            session.execute(sa.update(table).where(table.c.reference == reference).values(values))

    restore(desk)

    unread = {row.id for row in desk.all(Unread)}
    names = {row.reference for row in desk.all(Payment) if row.id in unread}
    assert names == {"was-asked-for", "was-made", "is-reserved", "is-captured"}


async def test_recovering_sales_unit_tells_and_decides_nothing(database: Database) -> None:
    """No delivery, no event for the broker, nothing by the clock: all of it comes afterwards."""
    desk, _ = a_pushed_desk(database)
    with database.transaction() as session:
        session.add(_subscription())
        session.flush()
        fan_out(session, now=desk.now(), limit=100)
    restore(desk)
    desk.later(days=30)
    room = Room(sound=10, troubled=10)

    with database.transaction() as session:
        held = claim(session, now=desk.now(), lease_s=10, room=room)
        held_of_feed = positions.claim(session, desk.now())
    decided = Attendant(desk.context).attend_due()
    with database.transaction() as session:
        session.execute(sa.delete(table_of(Unread)))
    await look(desk)
    with database.transaction() as session:
        freed = claim(session, now=desk.now(), lease_s=10, room=room)
        freed_of_feed = positions.claim(session, desk.now())

    assert (held, held_of_feed, decided) == ([], [], False)
    assert len(freed) == 1
    assert [one.msn for one in freed_of_feed] == [MSN]
    assert Attendant(desk.context).attend_due() is True
    assert desk.all(Invoice)[0].reference == REFERENCE


def _subscription() -> Subscription:
    return Subscription(
        id="sub_1",
        msn=MSN,
        url=b"",
        event_types=["*"],
        secrets=b"",
        status="healthy",
        created_at=NOW - timedelta(days=1),
        from_position=0,
    )


async def test_webhook_in_recovery_is_taken_in_and_what_follows_waits(database: Database) -> None:
    """Vipps is answered as ever; the capture that follows goes out once all is known."""
    desk, vipps = a_pushed_desk(database, capture="automatic")
    restore(desk)

    outcomes = desk.report(vipps.happens("AUTHORIZED"))
    await look(desk)
    (read,) = claimed(desk)
    settled(desk, ran(desk, read, accepted(read), vipps))
    meanwhile = claimed(desk)
    await look(desk)

    assert [str(one) for one in outcomes] == ["applied"]
    assert (desk.invoice().state, kinds([read]), meanwhile) == ("authorized", [READ], [])
    assert kinds(claimed(desk)) == ["capture"]
