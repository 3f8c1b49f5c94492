"""What a look costs is what may go, however much is kept."""

import re
from pathlib import Path

from service.store.db import Database
from tests.plans import plan_of, statements
from tests.service.keeping.builders import (
    a_keeping_desk,
    a_paid_invoice,
    a_sent_invoice,
    deliver,
    retain,
    subscribe,
)

# A row or an entry of an index after the other, of a table that grows.
_READS_ALL = re.compile(
    r"SCAN (delivery|event|attempt|vipps_event|invoice|payment|command|transition)\b"
    r"|Seq Scan on (delivery|event|attempt|vipps_event|invoice|payment|command|transition)"
)


def test_retention_reads_no_whole_table(database: Database, tmp_path: Path) -> None:
    """Every five minutes for years, beside millions of rows that stay."""
    desk = a_keeping_desk(database, tmp_path)
    subscribe(desk)
    a_paid_invoice(desk, "acme-2026-000001")
    a_sent_invoice(desk, "acme-2026-000002")
    deliver(desk)
    desk.later(days=91)

    with statements(database) as ran:
        gone = retain(desk)

    plans = {statement: plan_of(database, statement, given) for statement, given in ran}
    assert gone["ended deliveries"] == 6
    assert gone["bodies of Vipps's events"] == 3
    assert gone["events of the feed"] == 4
    assert not {statement: plan for statement, plan in plans.items() if _READS_ALL.search(plan)}
    used = "\n".join(plans.values())
    assert "ix_delivery_settled" in used
    assert "ix_vipps_event_body" in used
    assert re.search(r"uq_event_msn|sqlite_autoindex_event", used)
