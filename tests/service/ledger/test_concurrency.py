"""Many writers at once: each event counts once, and the feed has one sequence (I5, I8)."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from random import Random

import sqlalchemy as sa
from sqlmodel import col

from service.context import Context
from service.errors import DatabaseAway
from service.ledger.book import write
from service.ledger.record import record
from service.store.db import Database
from service.store.tables import Event
from statemachine import Outcome
from tests.builders import VippsPayment, a_desk, received
from tests.service.ledger.checks import broken_rules

THREADS = 8
INVOICES = 6


def _feed_after(database: Database, position: int) -> list[int]:
    with database.snapshot() as session:
        found = sa.select(col(Event.position)).where(col(Event.position) > position)
        return list(session.execute(found.order_by(col(Event.position))).scalars())


def _read_until(database: Database, is_over: threading.Event) -> list[int]:
    """Read the feed as a merchant does: always on from the last position that was seen."""
    seen: list[int] = []
    while True:
        is_last_round = is_over.is_set()
        seen += _feed_after(database, seen[-1] if seen else 0)
        if is_last_round:
            return seen


def _post_all(context: Context, bodies: list[bytes], seed: int) -> list[Outcome]:
    dice = Random(seed)
    left, outcomes = list(bodies), list[Outcome]()
    dice.shuffle(left)
    while left:
        size = dice.randint(1, 4)
        batch, left = left[:size], left[size:]
        outcomes += _post(context, batch)
    return outcomes


def _post(context: Context, batch: list[bytes]) -> Sequence[Outcome]:
    """Take in a batch; where the database is too busy, post it again, as Vipps would."""
    taken = [received(body) for body in batch]
    while True:
        try:
            return write(context, lambda book: record(book, taken))
        except DatabaseAway as error:
            assert "deadlock" not in str(error.__cause__)


def test_same_events_from_all_sides_count_once_and_in_one_sequence(
    database: Database, database_url: str
) -> None:
    """Whichever process takes them in, my events come once, in an order that never goes back."""
    desk = a_desk(database)
    bodies = []
    for number in range(INVOICES):
        reference = f"crowded-{number:03}"
        desk.create(reference=reference, creation_hash=reference.encode())
        vipps = VippsPayment(reference=reference)
        vipps.happens("CREATED", "AUTHORIZED")
        vipps.happens("CAPTURED", amount_minor=500)
        vipps.happens("REFUNDED", amount_minor=200)
        bodies += vipps.webhooks()
    # Two processes, each with connections of its own.
    other = Database(database_url)
    contexts = [desk.context, replace(desk.context, database=other)]
    is_over = threading.Event()

    with ThreadPoolExecutor(THREADS + 1) as pool:
        reader = pool.submit(_read_until, database, is_over)
        writers = [pool.submit(_post_all, contexts[n % 2], bodies, seed=n) for n in range(THREADS)]
        try:
            outcomes = [outcome for writer in writers for outcome in writer.result()]
        finally:
            is_over.set()
        seen = reader.result()
    other.dispose()

    assert len(outcomes) == THREADS * len(bodies)
    assert Outcome.REFUSED not in outcomes and Outcome.UNMATCHED not in outcomes
    assert seen == list(range(1, len(desk.told()) + 1))
    assert broken_rules(database) == []
    for number in range(INVOICES):
        invoice = desk.invoice(f"crowded-{number:03}")
        assert (invoice.captured_minor, invoice.refunded_minor) == (500, 200)
        assert invoice.state == "captured"
