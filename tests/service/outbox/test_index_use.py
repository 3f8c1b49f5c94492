"""What a claim costs is what is pending, however much was delivered before."""

from typing import Any

import sqlalchemy as sa

from service.outbox.deliveries import Room, claim
from service.outbox.rows import DELIVERY
from service.store.db import Database
from tests.service.outbox.builders import NOW, Shop, a_shop


def test_claim_beside_finished_rows_uses_the_partial_index(database: Database) -> None:
    """Years of delivered events do not slow down the next one."""
    shop = a_shop(database)
    _fill(shop, pending=50, delivered=2_000)
    statements: list[tuple[str, Any]] = []

    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
        statements.append((statement, parameters))

    with database.transaction() as session:
        sa.event.listen(session.connection(), "before_cursor_execute", note)
        claimed = claim(session, now=NOW, lease_s=60, room=Room(10, 10))

    look = next(s for s in statements if "line_head_id" in s[0])
    assert len(claimed) == 10
    plan = _plan(database, *look)
    assert "ix_delivery_due" in plan
    assert "ix_delivery_line" in plan


def _fill(shop: Shop, *, pending: int, delivered: int) -> None:
    key, _ = shop.subscribe()
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
        session.execute(sa.text("ANALYZE"))


def _plan(database: Database, statement: str, parameters: Any) -> str:
    explain = "EXPLAIN QUERY PLAN " if database.is_sqlite else "EXPLAIN "
    with database.transaction() as session:
        rows = session.connection().exec_driver_sql(explain + statement, parameters).all()
    return "\n".join(str(row) for row in rows)
