"""Invoices of the first version are looked at once after the upgrade, and go on from there."""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlmodel import SQLModel, select

from service.store.db import Database
from service.store.schema import migrate
from service.store.tables import Invoice, Payment
from tests.service.store.test_upgrade_0003 import _UNIT, empty, upgrade_to

__all__ = ["empty"]

_TIMES = {"at": "2026-11-20 10:00:00+00:00", "later": "2026-11-21 10:00:00+00:00"}
_INVOICE = (
    "INSERT INTO invoice (id, msn, reference, amount_minor, currency, description, flow, capture,"
    " payable_until, terms, creation_hash, page_lookup, state, sequence, version, head_hash,"
    " authorized_minor, captured_minor, refunded_minor, cancelled_minor, automatic_capture_off,"
    " created_at, updated_at)"
    " VALUES (:id, '123456', :id, 100, 'NOK', 'd', 'PUSH_MESSAGE', 'manual',"
    " :later, '{}', :hash, :lookup, :state, 1, 7, :hash,"
    " 0, 0, 0, 0, :no, :at, :later)"
)
_PAYMENT = (
    "INSERT INTO payment (id, msn, invoice_id, attempt, reference, user_flow, state, has_pushed,"
    " ends_at, authorized_minor, captured_minor, refunded_minor, cancelled_minor, drifting_reads,"
    " command_count, created_at, updated_at)"
    " VALUES (:id, '123456', :id, 1, :id, 'PUSH_MESSAGE', :state, :no,"
    " :later, 0, 0, 0, 0, 0, 3, :at, :later)"
)
_AUTHORIZED = (
    'INSERT INTO transition (invoice_id, sequence, from_state, to_state, "trigger", source,'
    " evidence_id, occurred_at, recorded_at, amount_minor, currency, previous_hash, hash)"
    " VALUES ('inv-paid', 2, 'pushed', 'authorized', 'authorize', 'webhook', 'vev_1',"
    " :at, :later, 100, 'NOK', :hash, :hash)"
)


def _fill(connection: sa.Connection) -> None:
    connection.execute(sa.text(_UNIT))
    for name, state, payment in (
        ("inv-lapsed", "soft_dismissed", "expired"),
        ("inv-open", "pushed", "created"),
        ("inv-paid", "authorized", "authorized"),
    ):
        given = {**_TIMES, "id": name, "hash": b"h", "no": False}
        lookup = name.encode()
        connection.execute(sa.text(_INVOICE), {**given, "state": state, "lookup": lookup})
        del given["hash"]
        connection.execute(sa.text(_PAYMENT), {**given, "state": payment})
    connection.execute(sa.text(_AUTHORIZED), {**_TIMES, "hash": b"h"})


def test_upgrade_from_0001_has_every_invoice_looked_at(empty: Database) -> None:
    """What was open before the upgrade is read, asked again and warned of after it."""
    upgrade_to(empty, "0001")
    with empty.migration() as connection:
        _fill(connection)

    migrate(empty)

    with empty.snapshot() as session:
        invoices = session.exec(select(Invoice).order_by(Invoice.id)).all()
        payments = session.exec(select(Payment).order_by(Payment.id)).all()
    at = datetime(2026, 11, 20, 10, tzinfo=UTC)
    later = datetime(2026, 11, 21, 10, tzinfo=UTC)
    assert [(i.own_pushes, i.warned_percent, i.version) for i in invoices] == [(0, 0, 7)] * 3
    assert [i.attend_at for i in invoices] == [later] * 3
    assert [i.authorized_at for i in invoices] == [None, None, at]
    assert [p.ended_at for p in payments] == [later, None, None]
    assert {(p.looked_at, p.unconfirmed_since) for p in payments} == {(None, None)}


def test_upgrade_makes_all_that_the_tables_declare(empty: Database) -> None:
    """An upgraded database and a new one are the same."""
    migrate(empty)

    with empty.migration() as connection:
        context = MigrationContext.configure(connection)
        differences = compare_metadata(context, SQLModel.metadata)

    assert differences == []
