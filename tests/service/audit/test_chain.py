"""A history that was touched is named, by invoice and row."""

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from sqlmodel import Session

from service.audit.chain import Fault, check_all, count_invoices
from service.ledger.hashing import GENESIS, transition_hash
from service.store.db import Database
from service.store.inserts import table_of
from service.store.tables import Act, Command, Event, Invoice, Payment, Transition
from tests.builders import REFERENCE, Desk, a_pushed_desk

transition, invoice_table, event = table_of(Transition), table_of(Invoice), table_of(Event)

OTHER = "acme-2026-000124"


def a_desk_with_two(database: Database) -> Desk:
    """Return a ledger with a captured invoice of four rows, and another one of one."""
    desk, vipps = a_pushed_desk(database)
    desk.report(vipps.happens("AUTHORIZED"))
    desk.read(vipps)
    desk.report(vipps.happens("CAPTURED", amount_minor=50_000))
    desk.create(reference=OTHER, phone_number="4799999999")
    return desk


def faults(desk: Desk) -> list[Fault]:
    """Return what an audit finds."""
    with desk.context.database.snapshot() as session:
        found = list(check_all(session, desk.context.vault))
        assert len(found) >= count_invoices(session)
    return [fault for fault in found if fault is not None]


def touch(desk: Desk, work: Callable[[Session], Any]) -> None:
    """Let somebody with the database's password work on it."""
    with desk.context.database.transaction() as session:
        work(session)


def rows_of(desk: Desk, reference: str = REFERENCE) -> list[dict[str, Any]]:
    """Return an invoice's rows as they are stored."""
    mine = transition.c.invoice_id == desk.invoice(reference).id
    with desk.context.database.snapshot() as session:
        rows = session.execute(sa.select(transition).where(mine).order_by(transition.c.sequence))
        return [dict(row._mapping) for row in rows]


def rewrite(desk: Desk, rows: list[dict[str, Any]]) -> None:
    """Write an invoice's rows anew, each hash computed as the service would."""
    previous = GENESIS
    for row in rows:
        row["previous_hash"] = previous
        row["hash"] = previous = transition_hash(row)
    last = {"sequence": len(rows), "state": rows[-1]["to_state"], "head_hash": previous}
    invoice_id = rows[0]["invoice_id"]

    def work(session: Session) -> None:
        session.execute(sa.delete(transition).where(transition.c.invoice_id == invoice_id))
        session.execute(sa.insert(transition), rows)
        mine = invoice_table.c.id == invoice_id
        session.execute(sa.update(invoice_table).where(mine).values(**last))

    touch(desk, work)


def test_audit_of_an_untouched_database_finds_nothing(database: Database) -> None:
    """What the service wrote is whole, on each database."""
    desk = a_desk_with_two(database)

    assert len(rows_of(desk)) == 4
    assert faults(desk) == []


_CHANGED: dict[str, Any] = {
    "amount_minor": 1,
    "to_state": "captured",
    "trigger": "cancel",
    "source": "operator",
    "actor": "somebody",
    "evidence_id": "vev_another",
    "evidence_hash": b"x" * 32,
    "payment_reference": "another",
    "reason": "because",
    "currency": "EUR",
}


@pytest.mark.parametrize("name", _CHANGED)
def test_audit_of_a_changed_row_names_it(database: Database, name: str) -> None:
    """A row that says otherwise than it did is found, whatever was changed in it."""
    desk = a_desk_with_two(database)
    third = (transition.c.invoice_id == desk.invoice().id) & (transition.c.sequence == 3)

    touch(
        desk, lambda s: s.execute(sa.update(transition).where(third).values({name: _CHANGED[name]}))
    )

    assert faults(desk) == [Fault(REFERENCE, 3, "was changed after it was written")]


@pytest.mark.parametrize(
    ("gone", "expected"),
    [
        (1, Fault(REFERENCE, 1, "is missing; the next one stored is 2")),
        (3, Fault(REFERENCE, 3, "is missing; the next one stored is 4")),
        (4, Fault(REFERENCE, 4, "is missing, and its event is there")),
    ],
)
def test_audit_of_a_deleted_row_names_its_place(
    database: Database, gone: int, expected: Fault
) -> None:
    """A row that is gone is missed, at the beginning, in the middle and at the end."""
    desk = a_desk_with_two(database)
    row = (transition.c.invoice_id == desk.invoice().id) & (transition.c.sequence == gone)

    touch(desk, lambda s: s.execute(sa.delete(transition).where(row)))

    assert faults(desk) == [expected]


def test_audit_of_an_inserted_row_names_it(database: Database) -> None:
    """A row that the service never wrote does not fit between its neighbours."""
    desk = a_desk_with_two(database)
    rows = rows_of(desk)
    false = {**rows[2], "reason": "inserted", "sequence": 3, "from_state": "pushed"}
    moved = [{**row, "sequence": row["sequence"] + 1} for row in rows[2:]]

    def work(session: Session) -> None:
        mine = transition.c.invoice_id == rows[0]["invoice_id"]
        session.execute(sa.delete(transition).where(mine, transition.c.sequence > 2))
        session.execute(sa.insert(transition), [false, *moved])

    touch(desk, work)

    assert faults(desk) == [Fault(REFERENCE, 3, "was changed after it was written")]


def test_audit_of_swapped_rows_names_the_first(database: Database) -> None:
    """An order that was not the true one is found."""
    desk = a_desk_with_two(database)
    rows = rows_of(desk)
    swapped = [{**rows[3], "sequence": 3}, {**rows[2], "sequence": 4}]

    def work(session: Session) -> None:
        mine = transition.c.invoice_id == rows[0]["invoice_id"]
        session.execute(sa.delete(transition).where(mine, transition.c.sequence > 2))
        session.execute(sa.insert(transition), swapped)

    touch(desk, work)

    assert faults(desk) == [Fault(REFERENCE, 3, "does not follow from the row before it")]


def test_audit_of_a_chain_computed_anew_finds_what_was_told_otherwise(database: Database) -> None:
    """Who can write the database can make hashes, but not the sealed event beside each row."""
    desk = a_desk_with_two(database)
    rows = rows_of(desk)
    rows[1]["source"] = "operator"

    rewrite(desk, rows)

    assert faults(desk) == [Fault(REFERENCE, 2, "is not what its event has told")]


def test_audit_of_a_chain_cut_off_and_computed_anew_misses_the_end(database: Database) -> None:
    """An invoice set back to `authorized` after it was captured is found."""
    desk = a_desk_with_two(database)

    rewrite(desk, rows_of(desk)[:3])

    assert faults(desk) == [Fault(REFERENCE, 4, "is missing, and its event is there")]


def test_audit_of_an_event_put_in_anothers_place_finds_it(database: Database) -> None:
    """A seal that is whole, in a place that is not its own, proves nothing."""
    desk = a_desk_with_two(database)
    mine = (event.c.invoice_id == desk.invoice().id) & event.c.is_transition
    with desk.context.database.snapshot() as session:
        first = session.execute(sa.select(event.c.payload).where(mine, event.c.sequence == 1))
        payload = first.scalar_one()

    touch(
        desk,
        lambda s: s.execute(
            sa.update(event).where(mine, event.c.sequence == 2).values(payload=payload)
        ),
    )

    assert faults(desk) == [Fault(REFERENCE, 2, "is not what its event has told")]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"state": "refunded"}, Fault(REFERENCE, 4, "does not lead to refunded")),
        ({"sequence": 5}, Fault(REFERENCE, 5, "is missing; the invoice is at 5")),
        (
            {"head_hash": b"x" * 32},
            Fault(REFERENCE, 4, "is not the one that the invoice ends with"),
        ),
    ],
)
def test_audit_of_an_invoice_moved_past_its_history_names_it(
    database: Database, changed: dict[str, Any], expected: Fault
) -> None:
    """An invoice whose state was set by hand does not fit its last row."""
    desk = a_desk_with_two(database)
    mine = invoice_table.c.id == desk.invoice().id

    touch(desk, lambda s: s.execute(sa.update(invoice_table).where(mine).values(changed)))

    assert faults(desk) == [expected]


def test_audit_of_a_deleted_invoice_names_what_is_left_of_it(database: Database) -> None:
    """An invoice that is gone with its whole history was still told of."""
    desk = a_desk_with_two(database)
    invoice_id = desk.invoice().id

    def work(session: Session) -> None:
        for model in (Command, Transition, Act, Payment):
            column = table_of(model).c.invoice_id
            session.execute(sa.delete(table_of(model)).where(column == invoice_id))
        session.execute(sa.delete(invoice_table).where(invoice_table.c.id == invoice_id))

    touch(desk, work)

    assert faults(desk) == [Fault(invoice_id, 4, "is told of, and the invoice itself is gone")]


def test_audit_names_every_bad_invoice_and_no_good_one(database: Database) -> None:
    """One bad history does not hide another."""
    desk = a_desk_with_two(database)

    touch(desk, lambda s: s.execute(sa.update(transition).values(amount_minor=7)))

    assert [(fault.reference, fault.sequence) for fault in faults(desk)] == [
        (REFERENCE, 1),
        (OTHER, 1),
    ]
