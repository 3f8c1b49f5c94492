"""Sixty days of an invoice in Denmark pass in milliseconds: the clock is simulated throughout."""

import time
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

from service.store.db import Database
from service.store.tables import Transition
from tests.builders import NOW, ONLY_SQLITE, REFERENCE, a_desk
from tests.service.ledger.checks import broken_rules
from tests.service.ledger.life import a_policy
from tests.service.ledger.long_life import LongLife

DAY = timedelta(days=1)


@ONLY_SQLITE
def test_sixty_danish_days_of_a_chain_pass_in_milliseconds(database: Database) -> None:
    """Asked, postponed, asked again by my policy, the last time on the due date, then expired."""
    desk = a_desk(database)
    a_policy(database, currency="DKK", max_payment_lifetime_s=12 * 86_400)
    desk.create(currency="DKK", due_date=date(2027, 1, 8), payable_until=NOW + 60 * DAY)
    life = LongLife(desk, "DKK")

    started = time.perf_counter()
    life.until(NOW + 61 * DAY)
    print(f"{(time.perf_counter() - started) * 1000:.0f} ms, {len(life.reads)} reads")

    asked = [at for at, _ in life.asked]
    quiet = timedelta(minutes=10)
    dismissed = [t for t in desk.all(Transition) if t.trigger == "soft_dismiss"]
    assert [r for _, r in life.asked] == [REFERENCE, *(f"{REFERENCE}-{n}" for n in (2, 3, 4))]
    assert asked[-1] == datetime(2027, 1, 8, 8, 0, tzinfo=UTC)
    assert all(
        later - sooner >= 14 * DAY - timedelta(minutes=1) for sooner, later in pairwise(asked[:-1])
    )
    assert desk.history() == [
        "create>created by api",
        *4 * ["push>pushed by webhook", "soft_dismiss>soft_dismissed by inference"],
        "expire>expired by clock",
    ]
    assert [t.recorded_at - quiet for t in dismissed] == asked
    assert desk.all(Transition)[-1].recorded_at == NOW + 60 * DAY
    assert len(life.reads) < 120
    assert desk.invoice().attend_at is None
    assert broken_rules(database) == []
