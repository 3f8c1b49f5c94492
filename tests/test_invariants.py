"""Where each invariant of the contract (section 9) is tested: one test for each, by its name.

Each plays a little itself or asks the shared rules, and names the files that try harder.
"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa

from service.commands.claim import claim
from service.errors import DatabaseAway
from service.ledger.acts import cancel, capture, push
from service.store.db import Database
from service.store.tables import Payment, StoredVippsEvent
from statemachine import Outcome
from tests.builders import (
    AMOUNT,
    REFERENCE,
    Desk,
    VippsPayment,
    a_desk,
    a_pushed_desk,
    an_authorized_desk,
)
from tests.flows.kills import KILLS
from tests.service.api.shop import take_away
from tests.service.ledger.checks import broken_rules

ROOT = Path(__file__).parent


def _a_busy_desk(database: Database) -> tuple[Desk, VippsPayment]:
    """Return a service whose one invoice lapsed, was asked again, captured and refunded."""
    desk, first = a_pushed_desk(database)
    desk.report(first.happens("EXPIRED"))
    desk.act(push)
    vipps = VippsPayment(reference=f"{REFERENCE}-2")
    desk.report(vipps.happens("CREATED"), vipps.happens("AUTHORIZED"))
    desk.report(vipps.happens("CAPTURED", amount_minor=700))
    desk.report(vipps.happens("REFUNDED", amount_minor=200))
    desk.read(vipps)
    return desk, vipps


def test_i1_what_is_acknowledged_is_on_disk(database: Database, database_url: str) -> None:
    """I1: no outcome is known before the commit. Also inbox/, flows/test_kills.py."""
    desk, vipps = a_pushed_desk(database)

    outcomes = desk.report(vipps.happens("AUTHORIZED"))

    another_process = Database(database_url)
    with another_process.snapshot() as session:
        stored = session.execute(sa.select(sa.func.count()).select_from(StoredVippsEvent)).scalar()
    another_process.dispose()
    assert (outcomes, stored) == ([Outcome.APPLIED], 2)
    take_away(database)
    with pytest.raises(DatabaseAway):
        desk.report(vipps.happens("CAPTURED"))


def test_i2_what_is_not_verified_changes_nothing(database: Database) -> None:
    """I2: the ledger takes only what the receiver has verified. Tried by inbox/test_receiver.py."""
    takers = {
        path.relative_to(ROOT.parent / "service").as_posix()
        for path in (ROOT.parent / "service").rglob("*.py")
        if "import record\n" in path.read_text()
    }

    # The receiver after `verify`, and a read that we asked Vipps for ourselves.
    assert takers == {"inbox/receiver.py", "ledger/reading.py"}
    assert broken_rules(database) == []


def test_i3_history_has_no_gaps_and_ends_in_the_state(database: Database) -> None:
    """I3: every step follows the one before. Also ledger/test_history.py, test_histories.py."""
    desk, _ = _a_busy_desk(database)

    assert [rule for rule in broken_rules(database) if rule.startswith("I3")] == []
    assert len(desk.history()) == desk.invoice().sequence == 7


def test_i4_any_arrival_ends_where_vipps_log_does(database: Database) -> None:
    """I4: lost and in the wrong order, and right after a read. Also test_histories.py."""
    desk = a_desk(database)
    desk.create()
    vipps = VippsPayment()
    vipps.happens("CREATED", "AUTHORIZED")
    vipps.happens("CAPTURED", amount_minor=700)
    late = vipps.happens("REFUNDED", amount_minor=200)

    desk.report(late)
    desk.read(vipps)
    desk.report(*reversed(vipps.webhooks()))

    assert (desk.invoice().state, vipps.sums()) == ("captured", (AMOUNT, 700, 200, 0))
    assert (desk.invoice().captured_minor, desk.invoice().refunded_minor) == (700, 200)


def test_i5_one_vipps_event_moves_an_invoice_once(database: Database) -> None:
    """I5: from all sides at once, once. Also ledger/test_concurrency.py."""
    desk, vipps = a_pushed_desk(database)
    webhook = vipps.happens("AUTHORIZED")

    with ThreadPoolExecutor(4) as pool:
        outcomes = [o for found in pool.map(desk.report, [webhook] * 8) for o in found]
    desk.read(vipps)

    assert sorted(outcomes) == [Outcome.APPLIED, *[Outcome.DUPLICATE] * 7]
    assert desk.history().count("authorize>authorized by webhook") == 1
    assert broken_rules(database) == []


def test_i6_one_decision_is_one_command_under_one_key(database: Database) -> None:
    """I6: two workers never have the same command. Also commands/, flows/test_kills.py."""
    desk, _ = an_authorized_desk(database)
    desk.act(capture, amount_minor=700)
    desk.later(seconds=5)

    def take() -> list[str]:
        with database.transaction() as session:
            claimed = claim(session, desk.context.vault, desk.context.clock, limit=9)
        return [one.idempotency_key for one in claimed if one.kind == "capture"]

    with ThreadPoolExecutor(4) as pool:
        taken = [key for keys in pool.map(lambda _: take(), range(8)) for key in keys]

    (decided,) = desk.commands("capture")
    assert taken == [decided.idempotency_key]


def test_i7_every_transition_has_one_event(database: Database) -> None:
    """I7: told once, with the same bytes on every channel. Also outbox/test_fanout.py."""
    desk, _ = _a_busy_desk(database)

    told = [event["type"] for event in desk.told() if "transition" in event["data"]]

    assert told == [f"invoice.{step.split('>')[1].split(' ')[0]}" for step in desk.history()]
    assert [rule for rule in broken_rules(database) if rule.startswith("I7")] == []


def test_i8_feed_is_one_sequence_that_never_goes_back(database: Database) -> None:
    """I8: with many writers. Also ledger/test_concurrency.py, api/test_events.py."""
    desk = a_desk(database)
    names = [f"many-{number:04}" for number in range(12)]

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: desk.create(reference=n, creation_hash=n.encode()), names))

    assert len(desk.told()) == 12
    assert [rule for rule in broken_rules(database) if rule.startswith("I8")] == []


def test_i9_never_two_live_payments_nor_more_money_than_reserved(database: Database) -> None:
    """I9: the database itself refuses both. Also test_histories.py, ledger/test_replacement.py."""
    desk, vipps = _a_busy_desk(database)
    desk.act(cancel)
    desk.report(vipps.happens("CANCELLED", amount_minor=AMOUNT - 700))

    overdrawn = sa.update(Payment).values(state="created")
    with pytest.raises(sa.exc.IntegrityError), database.transaction() as session:
        session.execute(overdrawn)

    assert [rule for rule in broken_rules(database) if rule.startswith("I9")] == []
    paid = desk.payment(vipps.reference)
    assert paid.captured_minor + paid.cancelled_minor == paid.authorized_minor == AMOUNT


def test_i12_kills_at_any_instant_are_tried() -> None:
    """I12: by real processes and SIGKILL; `make torture` does it a thousand times."""
    harnesses = ("test_kills.py", "test_kills_postgresql.py")
    tried = [(ROOT / "flows" / name).read_text() for name in harnesses]

    assert KILLS >= 30
    assert all("torture(lonely, kills=KILLS" in text for text in tried)
    assert "tests.torture" in (ROOT.parent / "Makefile").read_text()
