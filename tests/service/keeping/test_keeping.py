"""What is finished goes when its time has come; what is not, stays, and all else stays true."""

from datetime import timedelta
from pathlib import Path

import pytest

from service.audit.chain import check_all
from service.audit.evidence import canonical, evidence_of
from service.audit.verify import verify_file
from service.errors import NoLongerKept
from service.feed.digest import digest
from service.feed.pages import Wanted, ends_of, read_page
from service.outbox.again import Window, find
from service.store.db import Database
from service.store.tables import Attempt, Delivery, Event, StoredVippsEvent
from tests.builders import MSN, Desk, a_vipps_event
from tests.service.keeping.builders import (
    a_keeping_desk,
    a_paid_invoice,
    a_sent_invoice,
    a_subscription,
    archived,
    bodies,
    confirm,
    deliver,
    fan_out_all,
    positions,
    retain,
    subscribe,
)

PAID, SENT, LATER = "acme-2026-000001", "acme-2026-000002", "acme-2026-000003"
NOTHING = {
    "attempts of deliveries": 0,
    "answers to an Idempotency-Key": 0,
    "ended sessions": 0,
    "ended deliveries": 0,
    "bodies of Vipps's events": 0,
    "events of the feed": 0,
}


def faults(desk: Desk) -> list[object]:
    """Return what an audit finds."""
    with desk.context.database.snapshot() as session:
        return [one for one in check_all(session, desk.context.vault) if one is not None]


def test_deliveries_go_once_they_ended_so_long_ago_with_their_tries(
    database: Database, tmp_path: Path
) -> None:
    """After thirty days a delivery that was taken is gone; what still waits never goes."""
    desk = a_keeping_desk(database, tmp_path)
    key = subscribe(desk)
    a_sent_invoice(desk, SENT)
    taken = deliver(desk)
    desk.later(days=30)
    edge = retain(desk)["ended deliveries"]
    a_sent_invoice(desk, LATER)
    fan_out_all(desk)
    desk.later(seconds=1)

    gone = retain(desk)

    assert (edge, gone["ended deliveries"]) == (0, taken)
    assert {row.status for row in desk.all(Delivery)} == {"pending"}
    assert desk.all(Attempt) == []
    assert {row["status"] for row in archived(tmp_path, "delivery")} == {"delivered"}
    assert len(archived(tmp_path, "attempt")) == taken
    assert retain(desk) == NOTHING
    assert a_subscription(desk, key).status == "healthy"


def test_replay_of_what_failed_is_refused_where_it_is_not_known_any_more(
    database: Database, tmp_path: Path
) -> None:
    """What has arrived is not taken for missed because its delivery has gone."""
    desk = a_keeping_desk(database, tmp_path)
    key = subscribe(desk)
    begun = desk.now()
    a_sent_invoice(desk, SENT)
    taken = deliver(desk)
    settled = desk.now()
    desk.later(days=31)
    retain(desk)

    with desk.context.database.snapshot() as session:
        subscription = a_subscription(desk, key)
        end = desk.now()
        with pytest.raises(NoLongerKept, match="or the mode `all`"):
            find(session, subscription, Window(begun, end, "failed"))
        after = find(session, subscription, Window(settled + timedelta(seconds=1), end, "failed"))
        everything = find(session, subscription, Window(begun, end, "all"))

    assert after == []
    assert len(everything) == taken


def test_bodies_go_when_their_invoice_has_ended_so_long_ago(
    database: Database, tmp_path: Path
) -> None:
    """What is not judged to the end, or of an invoice that goes on, keeps its body for good."""
    desk = a_keeping_desk(database, tmp_path)
    paid, sent_ = a_paid_invoice(desk, PAID), a_sent_invoice(desk, SENT)
    desk.report(
        a_vipps_event("REFUNDED", reference=SENT),
        a_vipps_event("CREATED", reference="another-shop-1"),
        b"nothing of theirs",
    )
    before = [
        (row.id, row.outcome, row.amount_minor, row.raw_hash) for row in desk.all(StoredVippsEvent)
    ]
    desk.later(days=90, seconds=1)

    gone = retain(desk)

    assert bodies(desk) == {
        f"{PAID} CREATED": False,
        f"{PAID} AUTHORIZED": False,
        f"{PAID} CAPTURED": False,
        f"{SENT} CREATED": True,
        f"{SENT} REFUNDED": True,
        "another-shop-1 CREATED": False,
        "None None": False,
    }
    assert gone["bodies of Vipps's events"] == len(archived(tmp_path, "vipps_event")) == 5
    assert before == [
        (row.id, row.outcome, row.amount_minor, row.raw_hash) for row in desk.all(StoredVippsEvent)
    ]
    assert faults(desk) == []
    assert retain(desk) == NOTHING
    # Money can still be given back, and the same events still change nothing.
    assert desk.report(*paid.webhooks()) == ["duplicate"] * 3
    desk.report(paid.happens("REFUNDED"))
    assert desk.invoice(PAID).state == "refunded"
    assert sent_.reference == SENT


def test_age_counts_from_the_last_change_of_an_invoice(database: Database, tmp_path: Path) -> None:
    """A refund after months keeps the whole story for as long again."""
    desk = a_keeping_desk(database, tmp_path)
    vipps = a_paid_invoice(desk, PAID)
    desk.later(days=60)
    desk.report(vipps.happens("REFUNDED"))
    confirm(desk, vipps)
    fan_out_all(desk)
    desk.later(days=60)

    early = retain(desk)
    desk.later(days=31)
    late = retain(desk)

    assert (early["bodies of Vipps's events"], early["events of the feed"]) == (0, 0)
    assert (late["bodies of Vipps's events"], late["events of the feed"]) == (4, 5)


def test_events_go_from_the_feeds_beginning_and_what_is_unfinished_stays_behind_it(
    database: Database, tmp_path: Path
) -> None:
    """The feed has one beginning; an open invoice's events are kept behind it as evidence."""
    desk = a_keeping_desk(database, tmp_path)
    subscribe(desk)
    a_paid_invoice(desk, PAID)
    open_ = a_sent_invoice(desk, SENT)
    deliver(desk)
    told_until = desk.now()
    desk.later(days=91)
    a_sent_invoice(desk, LATER)
    deliver(desk)

    gone = retain(desk)

    assert gone["events of the feed"] == len(archived(tmp_path, "event")) == 4
    assert positions(desk) == [5, 6, 7, 8]
    context = desk.context
    with context.database.snapshot() as session:
        assert ends_of(session, MSN).start == 6
        assert ends_of(session, MSN).gone_until == told_until
        page = read_page(session, context.vault, Wanted(MSN, 6, 10))
        assert [entry.position for entry in page.entries] == [7, 8]
        with pytest.raises(NoLongerKept):
            read_page(session, context.vault, Wanted(MSN, 5, 10))
        with pytest.raises(NoLongerKept, match=r"not before 2026-11-22T10:00:00\.001Z"):
            digest(session, MSN, start=told_until, end=desk.now(), buckets=1)
    assert faults(desk) == []
    # Its time comes, too: then the second look finds it.
    desk.report(open_.happens("ABORTED"))
    confirm(desk, open_)
    deliver(desk)
    desk.later(days=91)
    assert retain(desk)["events of the feed"] == 3
    assert positions(desk) == [7, 8]
    assert retain(desk) == NOTHING


def test_event_goes_with_the_deliveries_of_all_its_subscribers(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deliveries that would stay for good go with what they delivered, however many they are."""
    monkeypatch.setattr("service.keeping.events.AT_ONCE", 3)
    desk = a_keeping_desk(database, tmp_path, DELIVERIES_KEPT_DAYS="0")
    subscribe(desk)
    subscribe(desk)
    a_paid_invoice(desk, PAID)
    taken = deliver(desk)
    desk.later(days=91)

    gone = retain(desk)

    assert (taken, gone["events of the feed"]) == (8, 4)
    assert [*desk.all(Event), *desk.all(Delivery), *desk.all(Attempt)] == []
    assert len(archived(tmp_path, "delivery")) == 8


def test_event_that_is_owed_or_not_yet_fanned_out_is_kept(
    database: Database, tmp_path: Path
) -> None:
    """Who has been away for a year still gets what is owed; what nobody was told is told."""
    desk = a_keeping_desk(database, tmp_path)
    subscribe(desk)
    a_paid_invoice(desk, PAID)
    fan_out_all(desk)
    desk.later(days=400)
    a_sent_invoice(desk, SENT)
    desk.later(days=400)

    gone = retain(desk)

    with desk.context.database.snapshot() as session:
        assert ends_of(session, MSN).start == 4
    assert (gone["events of the feed"], positions(desk)) == (0, [1, 2, 3, 4, 5, 6])
    assert len(desk.all(Event)) == 6
    deliver(desk)
    assert {row.status for row in desk.all(Delivery)} == {"delivered"}
    assert len(desk.all(Delivery)) == 6


def test_evidence_without_bodies_and_events_is_whole_and_says_so(
    database: Database, tmp_path: Path
) -> None:
    """A file that is made after years proves the history, and counts what it lacks."""
    desk = a_keeping_desk(database, tmp_path)
    a_paid_invoice(desk, PAID)
    deliver(desk)
    desk.later(days=91)
    retain(desk)

    with desk.context.database.snapshot() as session:
        file = evidence_of(session, desk.context, desk.invoice(PAID))

    assert file["evidence"]["noLongerKept"] == {"bodies": 3, "events": 4}
    assert [event["body"] for event in file["evidence"]["vippsEvents"]] == [None] * 3
    verified = verify_file(canonical(file))
    assert (verified.transitions, verified.gone) == (4, 7)
