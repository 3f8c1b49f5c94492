"""What a delivery costs is what is pending, however much was delivered before."""

import re

import pytest
import sqlalchemy as sa

from service.outbox.deliveries import Room, claim
from service.outbox.fanout import fan_out
from service.outbox.rows import DELIVERY, SUBSCRIPTION
from service.outbox.settling import give_back, settle
from service.store.db import Database
from tests.plans import plan_of, statements
from tests.service.outbox.builders import ACCEPTED, BUSY, NOW, Shop, a_shop, sent

# A row or an entry of an index after the other, of a table that grows.
_READS_ALL = re.compile(
    r"SCAN (delivery|event|attempt|subscription|woken|ahead|of_it|head)\b"
    r"|Seq Scan on (delivery|event|attempt)"
)


def test_delivering_beside_finished_rows_reads_no_whole_table(database: Database) -> None:
    """Years of delivered events, and a thousand who are dead, do not slow down the next one."""
    shop = a_shop(database)
    _fill(shop, pending=50, delivered=2_000)
    shop.tell_many("inv_1", "inv_2")

    with statements(database) as ran, database.transaction() as session:
        fan_out(session, now=NOW, limit=10)
        claimed = claim(session, now=NOW, lease_s=60, room=Room(10, 10))
        give_back(session, claimed[:2], now=NOW)
        taken, refused = claimed[2::2], claimed[3::2]
        answers = [
            *(sent(each, ACCEPTED, at=NOW) for each in taken),
            *(sent(each, BUSY, at=NOW) for each in refused),
        ]
        settle(session, shop.vault, answers, now=NOW)

    plans = {statement: plan_of(database, statement, given) for statement, given in ran}
    reading = {statement: plan for statement, plan in plans.items() if _READS_ALL.search(plan)}
    assert taken
    assert refused
    assert not reading
    assert any("ix_delivery_due" in plan for plan in plans.values())
    assert any("ix_delivery_line" in plan for plan in plans.values())


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_claim_finds_who_is_well_and_who_is_not_each_in_an_index_of_its_own(
    database: Database,
) -> None:
    """The next of the healthy is found without reading past those who are not."""
    a_shop(database)

    with statements(database) as ran, database.transaction() as session:
        claim(session, now=NOW, lease_s=60, room=Room(10, 10))

    plans = [plan_of(database, *each) for each in ran if "FROM subscription" in each[0]]
    assert [re.findall(r"USING INDEX (\w+)", plan)[0] for plan in plans] == [
        "ix_subscription_sound",
        "ix_subscription_troubled",
    ]


def _fill(shop: Shop, *, pending: int, delivered: int) -> None:
    key, _ = shop.subscribe()
    others = [shop.subscribe(msn="123456")[0] for _ in range(9)]
    rows = [
        {
            "id": f"dlv_{n:06d}",
            "msn": "123456",
            "subscription_id": key,
            "event_id": f"evt_{n:06d}",
            "line": f"inv_{n}",
            "position": n,
            "status": "pending" if n >= delivered else "delivered",
            "attempts": 0,
            "next_attempt_at": NOW,
            "created_at": NOW,
        }
        for n in range(delivered + pending)
    ]
    with shop.database.transaction() as session:
        session.execute(sa.insert(DELIVERY), rows)
        session.execute(
            sa.update(SUBSCRIPTION).where(SUBSCRIPTION.c.id.in_(others)).values(failures=1)
        )
