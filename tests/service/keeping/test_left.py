"""Whatever the history: what is left is what should be, and no history is broken by it."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from service.audit.chain import check_all
from service.store.db import Database
from service.store.tables import Command, Delivery, Event, Invoice, Payment, StoredVippsEvent
from tests.builders import Desk, VippsPayment
from tests.service.keeping.builders import (
    KEPT,
    a_keeping_desk,
    archived,
    confirm,
    deliver,
    fan_out_all,
    retain,
    subscribe,
)

# What Vipps says of a payment, in its order; said twice, or of one that has ended, it is refused.
_STORIES = (
    ("CREATED",),
    ("CREATED", "ABORTED"),
    ("CREATED", "AUTHORIZED"),
    ("AUTHORIZED", "CAPTURED"),
    ("CREATED", "AUTHORIZED", "CAPTURED", "REFUNDED"),
    ("REFUNDED",),
    ("EXPIRED",),
)
_ENDS = ("refunded", "cancelled", "aborted", "expired", "terminated", "failed")


@dataclass(frozen=True)
class Day:
    """What happens on one day, and how many days later the next one is."""

    reports: list[tuple[str, ...]]  # of a new invoice each
    more: list[tuple[int, tuple[str, ...]]]  # of which older one, and what
    confirms: bool
    sends: str  # "nothing", "fan_out" or "deliver"
    then_days: int


_DAYS = st.lists(
    st.builds(
        Day,
        reports=st.lists(st.sampled_from(_STORIES), max_size=2),
        more=st.lists(st.tuples(st.integers(0, 3), st.sampled_from(_STORIES)), max_size=1),
        confirms=st.sampled_from([True, True, False]),
        sends=st.sampled_from(["deliver", "deliver", "fan_out", "nothing"]),
        then_days=st.sampled_from([91, 31, 1]),
    ),
    min_size=2,
    max_size=4,
)


@settings(max_examples=8)
@given(days=_DAYS)
def test_what_is_left_is_what_should_be(sqlite_template: Path, days: list[Day]) -> None:
    """Exactly what is finished and old goes; a second run finds nothing; every chain is whole."""
    with _a_service(sqlite_template) as (desk, folder):
        _live(desk, days)
        left = _left(desk)
        stored = _ids(desk, Event), _ids(desk, Delivery)

        retain(desk)

        assert _is_there(desk) == left
        assert not any(retain(desk).values())
        assert _is_there(desk) == left
        assert stored[0] - left[0] == {row["id"] for row in archived(folder, "event")}
        assert stored[1] - left[1] == {row["id"] for row in archived(folder, "delivery")}
        with desk.context.database.snapshot() as session:
            assert not [one for one in check_all(session, desk.context.vault) if one is not None]


@contextmanager
def _a_service(template: Path) -> Iterator[tuple[Desk, Path]]:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "betalbar.db"
        shutil.copy(template, path)
        database = Database(f"sqlite:///{path}")
        desk = a_keeping_desk(database, Path(name) / "archive")
        subscribe(desk)
        yield desk, Path(name) / "archive"
        database.dispose()


def _live(desk: Desk, days: list[Day]) -> None:
    payments: list[VippsPayment] = []
    for day in days:
        for story in day.reports:
            reference = f"acme-2026-{len(payments):06d}"
            desk.create(reference=reference)
            payments.append(VippsPayment(reference=reference, at=desk.now()))
            desk.report(*map(payments[-1].happens, story))
        for number, story in day.more:
            for vipps in payments[number : number + 1]:
                desk.report(*map(vipps.happens, story))
        desk.settle_commands()
        if day.confirms:
            for vipps in payments:
                confirm(desk, vipps)
        {"nothing": lambda _: None, "fan_out": fan_out_all, "deliver": deliver}[day.sends](desk)
        desk.later(days=day.then_days)


# The rule once more, in plain words over plain rows.

Ids = frozenset[str]


def _left(desk: Desk) -> tuple[Ids, Ids, Ids]:
    """Return the events, deliveries and bodies that should be left."""
    now = desk.now()
    ended = _ended(desk, now - _kept("EVENTS"))
    deliveries = desk.all(Delivery)
    settled = [d for d in deliveries if d.settled_at is not None]
    stay = {d.id for d in deliveries} - {
        d.id for d in settled if d.settled_at < now - _kept("DELIVERIES")
    }
    owed = {d.event_id for d in deliveries if d.settled_at is None}
    events = sorted(desk.all(Event), key=lambda event: event.position)
    told = max((d.position for d in deliveries), default=0)
    passed = takewhile(
        lambda e: e.recorded_at < now - _kept("EVENTS") and e.position <= told, events
    )
    gone = {e.id for e in passed if e.id not in owed and e.invoice_id in {*ended, None}}
    stay -= {d.id for d in settled if d.event_id in gone}
    bodies = {
        row.id
        for row in desk.all(StoredVippsEvent)
        if row.received_at >= now - _kept("BODIES")
        or row.outcome == "early"
        or (row.invoice_id is not None and row.invoice_id not in ended)
    }
    return frozenset({e.id for e in events} - gone), frozenset(stay), frozenset(bodies)


def _ended(desk: Desk, before: datetime) -> set[str]:
    open_ = {c.invoice_id for c in desk.all(Command) if c.status in ("waiting", "running")}
    unsure = {
        p.invoice_id
        for p in desk.all(Payment)
        if p.state in ("requested", "created") or p.unconfirmed_since or p.drifting_reads
    }
    return {
        i.id
        for i in desk.all(Invoice)
        if (i.state in _ENDS or _is_taken(i)) and i.updated_at < before
    } - (open_ | unsure)


def _is_taken(invoice: Invoice) -> bool:
    taken = invoice.captured_minor + invoice.cancelled_minor
    return invoice.state == "captured" and taken == invoice.authorized_minor


def _kept(name: str) -> timedelta:
    return timedelta(days=int(KEPT[f"{name}_KEPT_DAYS"]))


def _ids(desk: Desk, model: type[Event | Delivery]) -> Ids:
    return frozenset(row.id for row in desk.all(model))


def _is_there(desk: Desk) -> tuple[Ids, Ids, Ids]:
    bodies = frozenset(row.id for row in desk.all(StoredVippsEvent) if row.raw)
    return _ids(desk, Event), _ids(desk, Delivery), bodies
