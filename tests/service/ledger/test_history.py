"""Transitions without gaps, chained by hash, each told exactly once (I3, I7)."""

from typing import Any

import orjson
import sqlalchemy as sa

from service.ledger.acts import capture, push
from service.ledger.hashing import GENESIS, transition_hash
from service.ledger.resource import page_url
from service.store.db import Database
from service.store.inserts import table_of
from service.store.tables import Event, Transition
from tests.builders import (
    AMOUNT,
    MSN,
    PHONE,
    REFERENCE,
    Desk,
    VippsPayment,
    a_desk,
    an_authorized_desk,
)

EVENT_BYTES_MAX = 20_000


def _broken_links(desk: Desk) -> list[int]:
    """Return the sequences of the rows whose hash, or link to the row before, is wrong."""
    broken, before = [], GENESIS
    for row in desk.all(Transition):
        values = {column.name: getattr(row, column.name) for column in table_of(Transition).c}
        if transition_hash(values) != row.hash or row.previous_hash != before:
            broken.append(row.sequence)
        before = row.hash
    return broken


def _a_full_life(desk: Desk, vipps: VippsPayment) -> None:
    desk.act(capture, amount_minor=500)
    desk.report(
        vipps.happens("CAPTURED", amount_minor=500),
        vipps.happens("CANCELLED", amount_minor=AMOUNT - 500),
        vipps.happens("REFUNDED", amount_minor=500),
    )


def test_transitions_have_no_gaps_and_end_where_the_invoice_is(database: Database) -> None:
    """The history tells every step, and ends in the present."""
    desk, vipps = an_authorized_desk(database)

    _a_full_life(desk, vipps)

    rows = desk.all(Transition)
    assert [row.sequence for row in rows] == [1, 2, 3, 4, 5, 6]
    assert [row.to_state for row in rows] == [
        "created",
        "pushed",
        "authorized",
        "captured",
        "captured",
        "refunded",
    ]
    assert [row.from_state for row in rows[1:]] == [row.to_state for row in rows[:-1]]
    invoice = desk.invoice()
    assert (invoice.state, invoice.sequence, invoice.head_hash) == ("refunded", 6, rows[-1].hash)


def test_transitions_are_chained_and_a_changed_one_shows(database: Database) -> None:
    """Nobody can rewrite the history of my invoice unseen."""
    desk, vipps = an_authorized_desk(database)
    _a_full_life(desk, vipps)
    intact = _broken_links(desk)

    with database.transaction() as session:
        changed = sa.update(Transition).where(table_of(Transition).c.sequence == 4)
        session.execute(changed.values(amount_minor=499))

    assert (intact, _broken_links(desk)) == ([], [4])


def test_confirmation_by_a_read_leaves_the_chain_whole(database: Database) -> None:
    """That a read agreed is noted later, and is no change of what happened."""
    desk, vipps = an_authorized_desk(database)

    desk.read(vipps)

    assert all(row.confirmed_at for row in desk.all(Transition)[1:])
    assert _broken_links(desk) == []


def test_every_transition_is_told_exactly_once(database: Database) -> None:
    """For each step there is one event, in the feed's order, without gaps."""
    desk, vipps = an_authorized_desk(database)

    _a_full_life(desk, vipps)

    events = sorted(desk.all(Event), key=lambda event: event.position)
    told = [(event.sequence, event.type) for event in events if event.is_transition]
    assert told == [(row.sequence, f"invoice.{row.to_state}") for row in desk.all(Transition)]
    assert [event.position for event in events] == list(range(1, len(events) + 1))


def test_event_has_exactly_the_members_of_the_contract(database: Database) -> None:
    """My parser can rely on the members, and finds nobody's personal data among them."""
    line = {"name": "Travel insurance", "id": "1", "totalAmount": AMOUNT}
    desk, _ = an_authorized_desk(
        database,
        customer_name="Kari Nordmann",
        terms={"kid": "1234566", "orderLines": [line], "metadata": {"erp": "4711"}},
    )
    invoice, vault = desk.invoice(), desk.context.vault

    event = desk.told()[-1]

    assert event == {
        "id": desk.all(Event, Event.type == "invoice.authorized")[0].id,
        "type": "invoice.authorized",
        "timestamp": "2026-11-22T10:00:00.000Z",
        "sequence": 3,
        "data": {
            "invoice": {
                "reference": REFERENCE,
                "salesUnit": MSN,
                "state": "authorized",
                "sequence": 3,
                "amount": {"currency": "NOK", "value": AMOUNT},
                "aggregate": {
                    "authorizedAmount": {"currency": "NOK", "value": AMOUNT},
                    "capturedAmount": {"currency": "NOK", "value": 0},
                    "refundedAmount": {"currency": "NOK", "value": 0},
                    "cancelledAmount": {"currency": "NOK", "value": 0},
                },
                "customer": {"id": invoice.customer_id},
                "description": f"Invoice {REFERENCE}",
                "kid": "1234566",
                "dueDate": None,
                "payableUntil": "2026-12-06T10:00:00.000Z",
                "flow": "PUSH_MESSAGE",
                "capture": "manual",
                "push": True,
                "replaces": None,
                "documentUrl": None,
                "returnUrl": None,
                "metadata": {"erp": "4711"},
                "payments": [
                    {
                        "reference": REFERENCE,
                        "attempt": 1,
                        "state": "authorized",
                        "pspReference": None,
                        "userFlow": "PUSH_MESSAGE",
                        "expiresAt": "2026-11-23T09:59:00.000Z",
                        "redirectUrl": None,
                    }
                ],
                "pageUrl": page_url(invoice.id, vault, desk.context.settings.base_url),
                "captureGuaranteedUntil": None,
                "paidElsewhere": None,
                "problem": None,
                "availableActions": ["capture", "cancel", "paid-elsewhere"],
                "createdAt": "2026-11-22T10:00:00.000Z",
                "updatedAt": "2026-11-22T10:00:00.000Z",
            },
            "previousState": "pushed",
            "transition": {
                "trigger": "authorize",
                "source": "webhook",
                "occurredAt": "2026-11-22T10:00:01.000Z",
                "recordedAt": "2026-11-22T10:00:00.000Z",
            },
        },
    }
    assert PHONE not in str(desk.told()) and "Kari" not in str(desk.told())


def test_event_of_the_largest_invoice_stays_small(database: Database) -> None:
    """However much I put into an invoice, none of its steps fails for size."""
    pairs = {f"k{n:02}": "é" * 96 for n in range(20)}
    terms: dict[str, Any] = {
        "kid": "1" * 25,
        "documentUrl": "https://erp.example/".ljust(2048, "d"),
        "returnUrl": "https://erp.example/".ljust(2048, "r"),
        "metadata": pairs,
        "replaces": "q" * 60,
        "orderLines": [{"name": "n" * 500, "id": "i" * 100, "totalAmount": 1000}] * 200,
    }
    reference = "r" * 60
    desk = a_desk(database)
    desk.create(reference="q" * 60, push=False)
    desk.create(reference=reference, description="😀" * 100, terms=terms)
    for number in range(1, 8):
        name = reference if number == 1 else f"{reference}-{number}"
        vipps = VippsPayment(reference=name)
        desk.report(vipps.happens("CREATED"))
        desk.act(push, reference)
        desk.report(vipps.happens("TERMINATED"))

    sizes = [len(orjson.dumps(event)) for event in desk.told()]

    assert len(orjson.dumps(pairs)) <= 4096
    assert len(desk.told()[-1]["data"]["invoice"]["payments"]) == 5
    assert max(sizes) < EVENT_BYTES_MAX


def test_version_moves_once_with_each_visible_change(database: Database) -> None:
    """An ETag that I hold is outdated by every change, and by nothing else."""
    desk, vipps = an_authorized_desk(database)
    desk.read(vipps)
    before = desk.invoice().version

    desk.read(vipps)
    unchanged = desk.invoice().version
    desk.act(capture)
    asked = desk.invoice().version
    desk.report(vipps.happens("CAPTURED"))

    assert (unchanged, asked) == (before, before + 1)
    assert desk.invoice().version == before + 2
