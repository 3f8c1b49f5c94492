"""A delivery that is asked for again in the very instant in which it is let go."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event as Flag

import pytest
import sqlalchemy as sa
from sqlmodel import col

from service.errors import NotFound
from service.keeping.deliveries import delete_ended
from service.outbox import again, delivery_log
from service.store.db import Database
from service.store.tables import Delivery
from tests.builders import MSN, ONLY_POSTGRESQL, Desk
from tests.service.keeping.builders import a_keeping_desk, a_sent_invoice, deliver, subscribe

# Long enough for a machine that others use, too.
_PATIENCE_S = 30
_WAITING = sa.text(
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


def _a_delivered_one(database: Database, folder: Path) -> tuple[Desk, str]:
    """Return a desk with one delivery that has ended, and its id."""
    desk = a_keeping_desk(database, folder)
    subscribe(desk)
    a_sent_invoice(desk, "acme-2026-000001")
    deliver(desk)
    return desk, desk.all(Delivery)[0].id


def _redeliver(desk: Desk, key: str, begun: Flag) -> str:
    """Ask for it as the API does; return its status."""
    begun.set()
    with desk.context.database.transaction() as session:
        again.redeliver(session, msn=MSN, delivery_id=key, now=desk.now())
        return delivery_log.one(session, desk.context.vault, key)["status"]


def _until_one_waits(desk: Desk, begun: Flag) -> None:
    """Return once a transaction waits for another one's lock."""
    assert begun.wait(_PATIENCE_S)
    for _ in range(_PATIENCE_S * 50):
        with desk.context.database.snapshot() as session:
            if session.scalar(_WAITING):
                return
        Flag().wait(0.02)
    raise AssertionError("nothing waits")


@ONLY_POSTGRESQL
def test_delivery_that_goes_while_it_is_asked_for_again_is_not_found(
    database: Database, tmp_path: Path
) -> None:
    """Two connections: whoever comes second is told that it has gone, and not of an error."""
    desk, key = _a_delivered_one(database, tmp_path)
    begun = Flag()

    with ThreadPoolExecutor(1) as pool:
        with desk.context.database.transaction() as session:
            assert delete_ended(session, col(Delivery.id) == key) == 1
            asked = pool.submit(_redeliver, desk, key, begun)
            _until_one_waits(desk, begun)

        with pytest.raises(NotFound):
            asked.result(_PATIENCE_S)


@ONLY_POSTGRESQL
def test_delivery_that_is_asked_for_again_first_is_not_let_go(
    database: Database, tmp_path: Path
) -> None:
    """What is asked for is held until it is due again, and then it has no end yet."""
    desk, key = _a_delivered_one(database, tmp_path)
    is_it = col(Delivery.id) == key

    with desk.context.database.transaction() as session:
        again.redeliver(session, msn=MSN, delivery_id=key, now=desk.now())
        with desk.context.database.transaction() as other:
            let_go = delete_ended(other, is_it)
    with desk.context.database.transaction() as session:
        after = delete_ended(session, is_it)

    assert (let_go, after) == (0, 0)
    assert [row.status for row in desk.all(Delivery, is_it)] == ["pending"]
