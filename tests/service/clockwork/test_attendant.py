"""The sweep over what is due: nothing stops it, and two of them do each thing once."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa
from sqlmodel import col

from service.clockwork.attendant import PUT_OFF, Attendant
from service.schedule.reads import SPREAD
from service.store.db import Database
from service.store.tables import Command, Invoice, Payment, Transition
from tests.builders import NOW, ONLY_POSTGRESQL, ONLY_SQLITE, Desk, VippsPayment, a_desk
from tests.service.api.shop import take_away
from tests.service.ledger.checks import broken_rules

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


def _crowd(database: Database, size: int) -> Desk:
    """Return a service with so many invoices that end in a day, half of them pushed."""
    desk = a_desk(database)
    for number in range(size):
        reference = f"crowded-{number:03}"
        is_link = number % 2 == 0
        desk.create(
            reference=reference,
            creation_hash=reference.encode(),
            payable_until=NOW + DAY,
            flow="WEB_REDIRECT" if is_link else "PUSH_MESSAGE",
        )
        if not is_link:
            desk.report(VippsPayment(reference=reference).happens("CREATED"))
    desk.settle_commands()
    return desk


def _states(desk: Desk) -> list[str]:
    return [invoice.state for invoice in desk.all(Invoice)]


def test_one_odd_invoice_does_not_stop_the_sweep(database: Database) -> None:
    """What is wrong with one invoice costs no other its turn, and is looked at again later."""
    desk = _crowd(database, 6)
    odd = desk.invoice("crowded-002")
    with database.transaction() as session:
        # A state that no code of ours knows, as a newer version's would be.
        session.execute(
            sa.text("PRAGMA ignore_check_constraints = ON")
            if database.is_sqlite
            else sa.text("ALTER TABLE invoice DROP CONSTRAINT ck_invoice_state_in_the_table")
        )
        session.execute(sa.update(Invoice).where(col(Invoice.id) == odd.id).values(state="odd"))
    desk.later(days=1)

    Attendant(desk.context).attend_due()

    assert _states(desk) == ["expired", "pushed", "odd", "pushed", "expired", "pushed"]
    assert desk.invoice("crowded-002").attend_at == desk.now() + PUT_OFF
    assert Attendant(desk.context).attend_due() is False


def test_attendant_is_done_when_nothing_is_due(database: Database) -> None:
    """Looking costs one query where nothing is to do, and never turns in a circle."""
    desk = _crowd(database, 4)
    attendant = Attendant(desk.context)

    at_first = attendant.attend_due()
    desk.later(days=1, hours=1)
    rounds = [attendant.attend_due() for _ in range(3)]

    assert at_first is False
    assert rounds == [True, False, False]


def test_pile_of_late_reads_is_spread_over_time(database: Database) -> None:
    """After an upgrade my paid invoices of years are not all read in the same minute."""
    desk = a_desk(database)
    for number in range(40):
        reference = f"paid-{number:04}"
        desk.create(reference=reference, creation_hash=reference.encode())
        vipps = VippsPayment(reference=reference)
        vipps.happens("CREATED", "AUTHORIZED")
        desk.report_at_once(*vipps.webhooks())
        desk.read(vipps)
    desk.create()
    desk.report(VippsPayment().happens("CREATED"))
    desk.settle_commands()
    _forget_reads(desk)
    desk.later(days=3)
    attendant = Attendant(desk.context)

    rounds = [attendant.attend_due() for _ in range(3)]

    reads = desk.all(Command, Command.kind == "read_payment", Command.status == "waiting")
    waits = sorted(read.next_attempt_at - desk.now() for read in reads)
    assert rounds == [True, False, False]
    assert len(reads) == 41
    assert waits[0] == timedelta()  # the request that the customer can still approve
    assert SPREAD / 2 < waits[-1] <= SPREAD
    assert sum(wait < HOUR for wait in waits) < 20


def _forget_reads(desk: Desk) -> None:
    """Leave the database as one from before reads were scheduled, as migration 0002 does."""
    with desk.context.database.transaction() as session:
        session.execute(sa.delete(Command).where(col(Command.kind) == "read_payment"))
        session.execute(sa.update(Payment).values(looked_at=None, unconfirmed_since=None))
        session.execute(sa.update(Invoice).values(attend_at=col(Invoice.updated_at)))


@ONLY_POSTGRESQL
def test_two_attendants_at_once_do_each_thing_once(database: Database, database_url: str) -> None:
    """With three processes each invoice expires once, and each read is decided once."""
    desk = _crowd(database, 30)
    desk.later(days=1, minutes=1)
    databases = [Database(database_url) for _ in range(3)]
    attendants = [Attendant(replace(desk.context, database=own)) for own in databases]

    with ThreadPoolExecutor(3) as pool:
        rounds = [pool.submit(a.attend_due) for a in attendants for _ in range(3)]
        assert any(done.result() for done in rounds)
    for own in databases:
        own.dispose()

    reads = desk.all(Command, Command.kind == "read_payment", Command.status == "waiting")
    assert len(desk.all(Transition, Transition.trigger == "expire")) == 15
    assert len({read.payment_id for read in reads}) == len(reads) == 15
    assert broken_rules(database) == []


@ONLY_SQLITE
def test_attendant_outlives_a_database_that_is_away(database: Database) -> None:
    """A database that restarts is waited for, whatever was being done."""
    desk = _crowd(database, 2)
    desk.later(days=2)
    take_away(database)

    assert Attendant(desk.context).attend_due() is False


@ONLY_SQLITE
@pytest.mark.anyio
async def test_attendant_works_until_it_is_told_to_stop(database: Database) -> None:
    """A stop is obeyed between two looks."""
    desk = await asyncio.to_thread(_crowd, database, 2)
    desk.later(days=2)
    stop = asyncio.Event()

    working = asyncio.create_task(Attendant(desk.context).run(stop))
    async with asyncio.timeout(10):
        while "expired" not in await asyncio.to_thread(_states, desk):  # noqa: ASYNC110
            await asyncio.sleep(0.01)  # a commit in another thread sets no event here
    stop.set()

    await asyncio.wait_for(working, 5)
