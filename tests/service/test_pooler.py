"""Behind PgBouncer, in transaction mode: a session serves one transaction, then another's."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from service.cli.doctor import _past_the_pooler
from service.errors import SettingsInvalid
from service.settings import load_settings
from service.store.db import LOCK_TIMEOUT_MS, Database
from statemachine import Outcome
from tests import pooler
from tests.builders import AMOUNT, ONLY_POSTGRESQL, an_authorized_desk
from tests.fake_merchant import FakeMerchant, serve, until
from tests.pooler import SESSIONS, pooled
from tests.service.lonely_worker import lonely_worker, together
from tests.service.outbox.builders import a_shop

pytestmark = [
    ONLY_POSTGRESQL,
    pytest.mark.anyio,
    pytest.mark.skipif(pooler.BINARY is None, reason="NOT TESTED: there is no pgbouncer (apt)"),
]


@pytest.fixture
def behind(database_url: str) -> Iterator[str]:
    """Give the database's URL behind a pooler."""
    with pooled(database_url) as url:
        yield url


@pytest.fixture
def database(behind: str) -> Iterator[Database]:
    """Open the database as the service does where BETALBAR_DATABASE_DIRECT_URL is set."""
    opened = Database(behind, is_pooled=True)
    yield opened
    opened.dispose()


def test_ledger_works_behind_a_pooler(database: Database) -> None:
    """An invoice goes its way, with more transactions at once than there are sessions."""
    desk, vipps = an_authorized_desk(database)
    together = threading.Barrier(4 * SESSIONS)

    def look(_: int) -> int:
        together.wait()
        return sum(len(desk.told()) for _ in range(10))

    with ThreadPoolExecutor(4 * SESSIONS) as pool:
        seen = set(pool.map(look, range(4 * SESSIONS)))

    assert desk.report(vipps.happens("CAPTURED")) == [Outcome.APPLIED]
    assert desk.invoice().captured_minor == AMOUNT
    assert seen == {10 * 3}


def test_limits_hold_in_each_transaction(database: Database, database_url: str) -> None:
    """Time-outs, the zone, and one state for each reading, whichever session it gets."""
    names = ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout", "TimeZone")
    asked = sa.text("SELECT " + ", ".join(f"current_setting('{name}')" for name in names))
    kind = sa.text("SELECT current_setting('transaction_isolation')")
    found = set()
    for opened in (database.transaction, database.snapshot):
        with opened() as session:
            found.add((*session.execute(asked).one(), session.execute(kind).scalar_one()))
    other = Database(database_url)
    with other.transaction() as session:
        assert (*session.execute(asked).one(), "read committed") in found
    other.dispose()

    limits = (f"{LOCK_TIMEOUT_MS // 1000}s", "30s", "30s", "UTC")
    assert found == {(*limits, "read committed"), (*limits, "repeatable read")}


async def test_what_is_committed_behind_a_pooler_is_heard_past_it(
    database: Database, behind: str, database_url: str
) -> None:
    """A worker behind it listens at PostgreSQL itself, and sends what another commits."""
    shop, merchant = a_shop(database), FakeMerchant()
    shop.now = datetime.now(UTC)
    async with (
        serve(merchant) as url,
        lonely_worker(shop, behind, database_url) as here,
        together(here),
    ):
        shop.subscribe(url)
        for told in (1, 2):  # the first may be found as it starts
            await asyncio.to_thread(shop.tell)
            shop.wake.events.set()
            await until(lambda: len(merchant.received) == told)  # noqa: B023 - awaited here


def test_doctor_tells_whether_postgresql_is_reached_past_the_pooler(
    behind: str, database_url: str
) -> None:
    """A second URL that leads nowhere is found before anybody wonders why all is late."""
    nowhere = "postgresql://127.0.0.1:9/nowhere"
    given = {"BETALBAR_DATABASE_URL": behind}
    found = [
        finding
        for direct in (database_url, nowhere, "")
        for finding in _past_the_pooler(
            load_settings({**given, "BETALBAR_DATABASE_DIRECT_URL": direct})
        )
    ]

    assert [(one.is_well, one.advice) for one in found] == [
        (True, ""),
        (False, "mend BETALBAR_DATABASE_DIRECT_URL"),
    ]


def test_pooler_that_is_not_named_is_refused_by_name(behind: str) -> None:
    """Whoever puts a pooler in between is told which setting is missing."""
    database = Database(behind)
    with (
        pytest.raises(SettingsInvalid, match="BETALBAR_DATABASE_DIRECT_URL"),
        database.transaction() as session,
    ):
        session.execute(sa.text("SELECT 1"))
    database.dispose()
