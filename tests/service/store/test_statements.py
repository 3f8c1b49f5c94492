"""Statements of the hot path say what SQLAlchemy would say, on both databases."""

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
import sqlalchemy as sa
from sqlmodel import col

from service.errors import DatabaseAway
from service.ids import new_id
from service.store.db import Database
from service.store.inserts import table_of
from service.store.statements import Selection, add_to, insert_rows, update_rows, upsert_rows
from service.store.tables import (
    Command,
    CommandStatus,
    Feed,
    Invoice,
    InvoiceRecord,
    Payment,
    PaymentRecord,
)
from service.units import add_unit
from service.vault import open_vault
from statemachine import PaymentState, State
from tests.builders import MSN, NOW, a_unit

COLUMNS = table_of(Invoice).c
BY_ID = Selection(tuple(COLUMNS), key=COLUMNS.id, sort=COLUMNS.id, is_locked=True)
OSLO = timezone(timedelta(hours=1))
# With and without decimals, and as another zone says it.
INSTANTS = (NOW, NOW.replace(microsecond=1), NOW.replace(microsecond=123_000).astimezone(OSLO))


@pytest.fixture
def unit(database: Database) -> Database:
    """Give a database with a sales unit."""
    with database.transaction() as session:
        vault = open_vault(session, [b"k" * 32], now=NOW)
        add_unit(session, vault, a_unit(), now=NOW)
    return database


def a_row(number: int = 0, **changed: Any) -> dict[str, Any]:
    """Return every column of an invoice."""
    record = InvoiceRecord(
        id=f"inv_{number}",
        msn=MSN,
        reference=f"acme-{number:04}",
        amount_minor=2**40,
        currency="NOK",
        description='Æ, \t"quotes", \\ and \'\n',
        flow="PUSH_MESSAGE",
        capture="manual",
        due_date=date(2026, 12, 1),
        payable_until=INSTANTS[number % len(INSTANTS)],
        terms={"kid": "1234566", "orderLines": [{"name": "Øl", "taxRate": 2500}], "push": True},
        creation_hash=b"\x00\\x41\n\t",
        page_lookup=bytes([number]) * 32,
        state=State.PUSHED,
        sequence=2,
        version=1,
        head_hash=b"",
        created_at=NOW,
        updated_at=NOW,
    )
    return record.values() | changed


def stored(database: Database) -> list[dict[str, Any]]:
    """Return what SQLAlchemy reads."""
    with database.snapshot() as session:
        rows = session.execute(sa.select(*COLUMNS).order_by(COLUMNS.id)).all()
    return [dict(row._mapping) for row in rows]


def test_rows_are_stored_as_they_are(unit: Database) -> None:
    """Money, times, letters and nothing: what goes in comes out, whoever reads."""
    rows = [a_row(number, authorized_at=INSTANTS[number], problem=None) for number in range(3)]

    with unit.transaction() as session:
        insert_rows(session, Invoice, rows)
        read = BY_ID.rows(session, [row["id"] for row in rows])

    assert read == rows
    assert stored(unit) == rows
    assert all(row["payable_until"].tzinfo is UTC for row in read)


def test_stored_instants_sort_as_instants(unit: Database) -> None:
    """What is due is found by comparing what is stored: one form for all."""
    with unit.transaction() as session:
        insert_rows(session, Invoice, [a_row(n, attend_at=INSTANTS[n]) for n in range(3)])
    due = sa.select(COLUMNS.id).where(COLUMNS.attend_at <= INSTANTS[1]).order_by(COLUMNS.id)

    with unit.snapshot() as session:
        found = list(session.scalars(due))

    assert found == ["inv_0", "inv_1"]


def test_instant_without_a_zone_is_refused(unit: Database) -> None:
    """A time that could be anybody's is never stored."""
    naive = datetime(2026, 11, 22)  # noqa: DTZ001

    with pytest.raises((ValueError, TypeError)), unit.transaction() as session:
        update_rows(session, Invoice, {"inv_0": {"payable_until": naive}})


def test_column_that_is_left_out_gets_its_default(unit: Database) -> None:
    """A row says what it knows; the table says the rest."""
    row = a_row()
    for name in ("authorized_minor", "automatic_capture_off", "problem"):
        del row[name]

    with unit.transaction() as session:
        insert_rows(session, Invoice, [row])

    (kept,) = stored(unit)
    assert (kept["authorized_minor"], kept["automatic_capture_off"], kept["problem"]) == (
        0,
        False,
        None,
    )


def test_update_changes_the_named_columns_of_the_named_rows(unit: Database) -> None:
    """Different columns of different rows, in one call; what is not named stays."""
    rows = [a_row(number) for number in range(3)]
    changes: dict[str, dict[str, Any]] = {
        "inv_0": {"state": State.AUTHORIZED, "problem": {"code": "5080", "status": None}},
        "inv_1": {"head_hash": b"\xff\x00", "automatic_capture_off": True, "due_date": None},
        "inv_2": {},
    }

    with unit.transaction() as session:
        insert_rows(session, Invoice, rows)
        update_rows(session, Invoice, changes)

    assert stored(unit) == [row | changes[row["id"]] for row in rows]


def test_selection_by_two_columns_leaves_others_out(unit: Database) -> None:
    """The same reference at another sales unit is another's."""
    named = Selection((COLUMNS.id,), key=COLUMNS.reference, equal=(COLUMNS.msn,))
    with unit.transaction() as session:
        insert_rows(session, Invoice, [a_row(0), a_row(1)])

        mine = named.rows(session, ["acme-0001", "acme-9999"], MSN)
        others = named.rows(session, ["acme-0001"], "654321")

    assert (mine, others) == ([{"id": "inv_1"}], [])


def test_upsert_brings_forward_what_waits_already(unit: Database) -> None:
    """One read of a payment waits at a time, and the earlier wish counts."""
    payment = PaymentRecord(
        id="pay_1",
        msn=MSN,
        invoice_id="inv_0",
        attempt=1,
        reference="acme-0000",
        user_flow="PUSH_MESSAGE",
        state=PaymentState.CREATED,
        ends_at=NOW,
        created_at=NOW,
        updated_at=NOW,
    )
    conflict = (
        "ON CONFLICT (payment_id) WHERE kind = 'read_payment' AND status = 'waiting' DO UPDATE"
        " SET next_attempt_at = {least}(command.next_attempt_at, excluded.next_attempt_at)"
    )

    def a_read(number: int, after_s: int) -> dict[str, Any]:
        key = new_id("cmd")
        return {
            "id": key,
            "idempotency_key": key,
            "msn": MSN,
            "number": number,
            "invoice_id": "inv_0",
            "payment_id": "pay_1",
            "kind": "read_payment",
            "next_attempt_at": NOW + timedelta(seconds=after_s),
            "created_at": NOW,
        }

    with unit.transaction() as session:
        insert_rows(session, Invoice, [a_row()])
        insert_rows(session, Payment, [payment.values()])
        for number, after_s in enumerate((60, 5, 90), start=1):
            upsert_rows(session, Command, [a_read(number, after_s)], conflict=conflict)

    with unit.snapshot() as session:
        (kept,) = session.scalars(sa.select(Command)).all()
    assert (kept.number, kept.next_attempt_at) == (1, NOW + timedelta(seconds=5))
    assert (kept.status, kept.attempts, kept.is_serial) == (CommandStatus.WAITING, 0, True)


def test_add_to_counts_and_says_where_it_is(unit: Database) -> None:
    """Two batches take positions that follow each other."""
    feed = table_of(Feed).c

    with unit.transaction() as session:
        ends = [add_to(session, feed.position, (feed.msn, MSN), by) for by in (3, 2)]

    assert ends == [3, 5]
    with unit.snapshot() as session:
        assert session.scalar(sa.select(col(Feed.position))) == 5


def test_failed_statement_of_the_driver_leaves_nothing(unit: Database) -> None:
    """A batch that breaks a rule is rolled back whole; the next one goes through."""
    with pytest.raises(Exception, match=r"(?i)unique"), unit.transaction() as session:
        insert_rows(session, Invoice, [a_row(0), a_row(0)])

    assert stored(unit) == []
    with unit.transaction() as session:
        insert_rows(session, Invoice, [a_row(0)])
    assert len(stored(unit)) == 1


def test_database_that_goes_away_under_a_statement_is_away(unit: Database) -> None:
    """What the driver says of it is translated like SQLAlchemy's own word."""
    with pytest.raises(DatabaseAway), unit.transaction() as session:
        if unit.is_sqlite:
            session.connection().exec_driver_sql("DROP TABLE feed")
        else:
            session.connection().exec_driver_sql("SET statement_timeout = 1")
            session.connection().exec_driver_sql("SET LOCAL lock_timeout = 1")
            session.connection().connection.dbapi_connection.close()  # type: ignore[union-attr]
        feed = table_of(Feed).c
        add_to(session, feed.position, (feed.msn, MSN), 1)
