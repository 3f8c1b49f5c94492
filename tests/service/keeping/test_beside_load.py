"""Letting go beside a service at work: nothing that is owed is lost, no reader sees a gap."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from service.audit.chain import check_all
from service.clockwork.cleaning import Cleaner
from service.feed.pages import Wanted, ends_of, read_page
from service.store.db import Database
from service.store.tables import Delivery, Event, StoredVippsEvent
from tests.builders import MSN, Desk, VippsPayment
from tests.service.keeping.builders import (
    a_keeping_desk,
    a_paid_invoice,
    a_sent_invoice,
    deliver,
    positions,
    retain,
    subscribe,
)

_OLD, _NEW = 4, 6
# As the service itself: others have the database in between.
_PAUSE_S = 0.01
# Of an invoice: created, pushed, authorized, captured.
_STEPS = 4


def _receive(desk: Desk) -> None:
    """Take in what Vipps says of new invoices."""
    for number in range(_NEW):
        reference = f"acme-2027-{number:06d}"
        desk.create(reference=reference)
        vipps = VippsPayment(reference=reference, at=desk.now())
        desk.report(
            vipps.happens("CREATED"), vipps.happens("AUTHORIZED"), vipps.happens("CAPTURED")
        )


def _send(desk: Desk, stop: threading.Event) -> None:
    """Deliver what is told until the end."""
    while not stop.wait(_PAUSE_S):
        deliver(desk)
    deliver(desk)


def _follow(desk: Desk, after: int, until: int) -> list[int]:
    """Read the feed to its end; return the positions that were seen."""
    seen: list[int] = []
    while after < until:
        with desk.context.database.snapshot() as session:
            page = read_page(session, desk.context.vault, Wanted(MSN, after, 5))
        seen += [entry.position for entry in page.entries]
        after = page.position
    return seen


def _clean(desk: Desk, cleaner: Cleaner, stop: threading.Event) -> None:
    """Let go of what is old until the end."""
    while not stop.wait(_PAUSE_S):
        cleaner.clean()


def test_retention_beside_webhooks_and_deliveries_loses_nothing(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes in meanwhile is stored, told once in order, and delivered; the old goes."""
    for module in ("deliveries", "bodies", "events"):
        monkeypatch.setattr(f"service.keeping.{module}.AT_ONCE", 3)
    desk = a_keeping_desk(database, tmp_path)
    subscribe(desk)
    for number in range(_OLD):
        a_paid_invoice(desk, f"acme-2026-{number:06d}")
    a_sent_invoice(desk, "acme-2026-999999")
    old = _OLD * _STEPS + 2
    assert deliver(desk) == old
    desk.later(days=91)
    stop = threading.Event()

    with ThreadPoolExecutor(5) as pool:
        cleaners = [Cleaner(desk.context) for _ in range(2)]
        working = [pool.submit(_clean, desk, one, stop) for one in cleaners]
        working.append(pool.submit(_send, desk, stop))
        reading = pool.submit(_follow, desk, old, old + _NEW * _STEPS)
        try:
            pool.submit(_receive, desk).result()
            seen = reading.result()
        finally:
            stop.set()
        for each in working:
            each.result()
    retain(desk)

    new = range(old + 1, old + _NEW * _STEPS + 1)
    assert seen == list(new)
    assert positions(desk) == [old - 1, old, *new]
    deliveries = desk.all(Delivery)
    assert [d.status for d in deliveries] == ["delivered"] * len(new)
    assert {d.event_id for d in deliveries} == {e.id for e in desk.all(Event) if e.position > old}
    with desk.context.database.snapshot() as session:
        ends = ends_of(session, MSN)
        assert (ends.start, ends.head) == (old, new[-1])
        assert not [one for one in check_all(session, desk.context.vault) if one is not None]
    kept = [row for row in desk.all(StoredVippsEvent) if row.raw]
    assert len(kept) == 1 + _NEW * 3
