"""Processes on one database: what one commits the others take up, without asking all the time."""

import asyncio
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from structlog.testing import capture_logs

from service.context import Context
from service.neighbours import tell_neighbours
from service.store.db import Database
from service.wake import LOOK_S, Listener, Wake, rest
from tests.builders import ONLY_POSTGRESQL, a_context, a_desk
from tests.fake_merchant import DEADLINE_S, FakeMerchant, serve, until
from tests.service.lonely_worker import NEVER_S, lonely_worker, together
from tests.service.outbox.builders import a_shop

pytestmark = pytest.mark.anyio

_LISTENERS = (
    "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
    " AND query LIKE '%betalbar%' AND pid <> pg_backend_pid()"
)


@pytest.fixture
def one(database: Database, database_url: str) -> Context:
    """Return a process on the database."""
    return a_context(database, DATABASE_URL=database_url)


def _beside(one: Context) -> Context:
    """Return another process on the same database."""
    return Context(one.settings, one.database, one.vault, one.clock, Wake())


def _ears(wake: Wake) -> dict[str, Listener]:
    return {name: getattr(wake, name).listen() for name in wake.names}


async def _heard(ears: dict[str, Listener], name: str) -> set[str]:
    """Return all that was heard, once this was."""
    async with asyncio.timeout(DEADLINE_S):
        await ears[name].wait(NEVER_S)
    return {name, *[other for other, ear in ears.items() if await ear.wait(0)]}


def _listeners(url: str) -> set[int]:
    with psycopg.connect(url) as connection:
        return {pid for (pid,) in connection.execute(_LISTENERS)}


async def test_what_one_process_commits_another_hears(one: Context) -> None:
    """A commit in one process wakes who waits in another, whichever database it is."""
    other = _beside(one)
    async with together(one, other):
        listener = other.wake.commands.listen()
        hears = asyncio.create_task(listener.wait(NEVER_S))
        with one.database.transaction() as session:
            session.connection().exec_driver_sql("UPDATE feed SET position = 7")
        one.wake.commands.set()

        await until(hears.done)


@ONLY_POSTGRESQL
async def test_only_what_is_named_is_heard(one: Context) -> None:
    """A command that was decided elsewhere makes nobody look for deliveries."""
    other = _beside(one)
    async with together(one, other):
        ears = _ears(other.wake)
        one.wake.events.set()
        while await _heard(ears, "events") != {"events"}:
            one.wake.events.set()  # at the beginning everything is said
        one.wake.commands.set()

        assert await _heard(ears, "commands") <= {"commands", "events"}


@ONLY_POSTGRESQL
async def test_listener_that_was_cut_off_listens_again(one: Context, database_url: str) -> None:
    """Its process looks for itself at once and once more as it hears again, so nothing is lost."""
    other = _beside(one)
    async with together(one, other):
        await until(lambda: len(_listeners(database_url)) == 2)
        rested = [each.wake.look_s for each in (one, other)]
        hears = asyncio.create_task(other.wake.commands.listen().wait(NEVER_S))
        with capture_logs() as logs:
            await _cut_off_all(database_url)
            await until(hears.done)
            await until(lambda: one.wake.look_s == other.wake.look_s == NEVER_S)

    assert rested == [NEVER_S, NEVER_S]
    assert [log["event"] for log in logs].count("not_listening") == 2
    assert one.wake.look_s == other.wake.look_s == LOOK_S  # nobody is heard any more


@ONLY_POSTGRESQL
async def test_event_of_one_process_is_delivered_by_another_that_never_looks(
    database: Database, database_url: str
) -> None:
    """A worker on another machine sends what a receiver commits, since it is told of it."""
    shop, merchant = a_shop(database), FakeMerchant()
    shop.now = datetime.now(UTC)
    async with (
        serve(merchant) as url,
        lonely_worker(shop, database_url, "") as here,
        together(here),
    ):
        shop.subscribe(url)
        # What it finds as it starts proves nothing; from the second on it rests in between.
        for told in range(1, 4):
            if told == 3:
                await _cut_off_all(database_url)
            await asyncio.to_thread(shop.tell)
            shop.wake.events.set()
            await until(lambda: len(merchant.received) == told)  # noqa: B023 - awaited here


async def _cut_off_all(url: str) -> None:
    before = _listeners(url)
    with psycopg.connect(url) as connection:
        for pid in before:
            connection.execute("SELECT pg_terminate_backend(%s)", (pid,))
    await until(lambda: len(_listeners(url) - before) == len(before) == 2)


def test_work_that_changes_nothing_is_no_news(database: Database) -> None:
    """A look that finds nothing wakes nobody, here or elsewhere; an invoice that is made does."""
    desk = a_desk(database)
    desk.write(lambda book: None)
    before = desk.context.wake.take_news()
    desk.create()

    assert before == frozenset()
    assert desk.context.wake.take_news() == {"commands", "events", "invoices"}
    assert desk.context.wake.take_news() == frozenset()


@ONLY_POSTGRESQL
async def test_command_line_tells_a_running_service(one: Context) -> None:
    """What a command has written is said as it ends, and not looked for."""
    command = _beside(one)
    async with together(one):
        listener = one.wake.deliveries.listen()
        command.wake.deliveries.set()
        await asyncio.to_thread(tell_neighbours, command)

        async with asyncio.timeout(DEADLINE_S):
            assert await listener.wait(NEVER_S)


async def test_rest_ends_when_a_clock_that_is_turned_reaches_what_is_due() -> None:
    """Whoever turns the sandbox's clock needs not wake anybody."""
    wake, turned = Wake(), [timedelta(days=1)]
    wake.look_s = NEVER_S
    listener = wake.invoices.listen()
    resting = asyncio.create_task(
        rest(
            listener.wait,
            wake,
            stop=asyncio.Event(),
            due_in_s=lambda: turned[-1].total_seconds(),
        )
    )
    await asyncio.sleep(0)
    is_resting = not resting.done()
    turned.append(timedelta())

    await until(resting.done)
    assert is_resting


async def test_rest_ends_soon_when_nobody_is_heard_any_more() -> None:
    """A process whose ear is cut off looks for itself, and not at the end of a long rest."""
    wake = Wake()
    wake.look_s = NEVER_S
    listener = wake.events.listen()
    resting = asyncio.create_task(
        rest(listener.wait, wake, stop=asyncio.Event(), due_in_s=lambda: NEVER_S)
    )
    await asyncio.sleep(0)
    wake.look_s = LOOK_S

    await until(resting.done)
