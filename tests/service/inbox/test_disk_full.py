"""A disk that is full: nothing is half stored, and all goes on when there is room again."""

import httpx
import orjson
import pytest
import sqlalchemy as sa

from service.store.db import Database
from service.store.tables import StoredVippsEvent
from tests.builders import ONLY_SQLITE, a_desk, a_vipps_event, signed_headers
from tests.service.inbox.posting import PATH, posting, register

pytestmark = [pytest.mark.anyio, ONLY_SQLITE]


def _limit(database: Database, pages: int) -> None:
    """Let the file grow to so many pages at most; 0: as large as it is."""
    with database.transaction() as session:
        wanted = pages or session.execute(sa.text("PRAGMA page_count")).scalar_one()
        session.execute(sa.text(f"PRAGMA max_page_count = {wanted}"))


async def _post(vipps: httpx.AsyncClient, number: int) -> int:
    event = a_vipps_event(reference=f"unknown-{number:04}", padding="x" * 3000)
    body = orjson.dumps(event)
    answer = await vipps.post(PATH, content=body, headers=signed_headers(body))
    return answer.status_code


async def test_full_disk_is_answered_with_503_until_there_is_room(database: Database) -> None:
    """Vipps sends again what could not be kept; what had its 200 is there."""
    desk = a_desk(database)
    register(desk.context)
    _limit(database, 0)

    async with posting(desk.context) as vipps:
        statuses = [await _post(vipps, number) for number in range(30)]
        _limit(database, 1_000_000)
        statuses.append(await _post(vipps, 99))

    with database.snapshot() as session:
        stored = session.execute(sa.select(sa.func.count()).select_from(StoredVippsEvent)).scalar()
    assert set(statuses[:-1]) >= {503} and set(statuses) <= {200, 503}
    assert statuses[-1] == 200
    assert stored == statuses.count(200)
