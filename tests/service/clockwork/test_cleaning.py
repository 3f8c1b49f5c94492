"""What is kept for a time only is let go of, in small pieces, and nothing else is."""

import asyncio
from datetime import datetime, timedelta

import pytest

from service.clockwork.cleaning import Cleaner
from service.keeping.pieces import AT_ONCE
from service.store.db import Database
from service.store.forgetting import forget_older
from service.store.inserts import table_of
from service.store.tables import Attempt, Delivery, StaffSession, StaffUser, StoredAnswer
from tests.builders import MSN
from tests.service.outbox.builders import NOW, ONLY_POSTGRESQL, Shop, a_shop
from tests.service.outbox.working import claim_now

_KEPT = timedelta(days=90)


def _with_attempts(database: Database, *made_at: datetime) -> Shop:
    """Return a service with one delivery that was tried at these times."""
    shop = a_shop(database)
    shop.subscribe()
    shop.tell()
    (claimed,) = claim_now(shop)
    with database.transaction() as session:
        session.add_all(
            Attempt(delivery_id=claimed.id, number=n, at=at, status=500, latency_ms=1)
            for n, at in enumerate(made_at, start=1)
        )
    return shop


def test_clean_keeps_attempts_for_ninety_days_to_the_moment(database: Database) -> None:
    """After ninety days a try is forgotten, not before; the delivery itself stays."""
    edge = NOW - _KEPT
    shop = _with_attempts(database, edge - timedelta(microseconds=1), edge, NOW)

    has_more = Cleaner(shop.context()).clean()

    assert [attempt.at for attempt in shop.all(Attempt)] == [edge, NOW]
    assert (has_more, len(shop.all(Delivery))) == (False, 1)


def test_clean_a_piece_at_a_time_oldest_first(database: Database) -> None:
    """However much is old, one transaction is short, and the next goes on."""
    old = [NOW - _KEPT - timedelta(seconds=n + 1) for n in range(AT_ONCE + 2)]
    shop = _with_attempts(database, *old)
    cleaner = Cleaner(shop.context())

    first = cleaner.clean()
    left = [attempt.at for attempt in shop.all(Attempt)]
    second = cleaner.clean()

    assert (first, second) == (True, False)
    assert left == old[:2]
    assert shop.all(Attempt) == []


def _an_answer(key: str, made_at: datetime) -> StoredAnswer:
    return StoredAnswer(
        msn=MSN,
        route="/v1/invoices",
        key=key,
        body_hash=b"",
        status=201,
        headers="{}",
        body=b"",
        created_at=made_at,
    )


def _a_session(number: int, ends_at: datetime) -> StaffSession:
    return StaffSession(
        token_hash=bytes([number]), user_id="usr_1", msn=MSN, seen_at=ends_at, ends_at=ends_at
    )


def test_clean_lets_answers_go_after_thirty_days_and_sessions_when_they_end(
    database: Database,
) -> None:
    """The same key gets the same answer for thirty days; who is signed in stays so."""
    shop = a_shop(database)
    tick = timedelta(microseconds=1)
    edge = NOW - timedelta(days=30)
    user = StaffUser(
        id="usr_1", login_lookup=b"", personal=b"", password_hash="", role="viewer", created_at=NOW
    )
    with database.transaction() as session:
        session.add(user)
        session.flush()
        session.add_all([_an_answer("old", edge - tick), _an_answer("young", edge)])
        session.add_all([_a_session(1, NOW - tick), _a_session(2, NOW)])

    has_more = Cleaner(shop.context()).clean()

    assert not has_more
    assert [answer.key for answer in shop.all(StoredAnswer)] == ["young"]
    assert [each.token_hash for each in shop.all(StaffSession)] == [bytes([2])]


@ONLY_POSTGRESQL
def test_clean_by_two_processes_at_once_shares_the_work(database: Database) -> None:
    """Two processes delete different pieces, and neither waits."""
    shop = _with_attempts(database, *(NOW - _KEPT - timedelta(seconds=n) for n in range(1, 7)))

    with database.transaction() as a, database.transaction() as b:
        at = table_of(Attempt).c.at
        counts = [forget_older(each, at, before=NOW - _KEPT, limit=4) for each in (a, b)]

    assert counts == [4, 2]
    assert shop.all(Attempt) == []


@pytest.mark.anyio
async def test_run_cleans_until_it_is_stopped(database: Database) -> None:
    """It works by itself beside the service, and ends when told to."""
    shop = _with_attempts(database, NOW - _KEPT - timedelta(days=1))
    stop = asyncio.Event()
    running = asyncio.create_task(Cleaner(shop.context()).run(stop))

    async with asyncio.timeout(10):
        while shop.all(Attempt):  # noqa: ASYNC110 - a commit in another thread sets no event here
            await asyncio.sleep(0.01)
    stop.set()
    await asyncio.wait_for(running, 5)

    assert len(shop.all(Delivery)) == 1
