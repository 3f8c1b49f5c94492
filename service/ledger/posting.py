"""Writing a book's rows: one statement per table, built once from the tables.

The sequence of the statements is the sequence of the locks and of the constraints: a
payment's end is written before its successor (one live payment per invoice), the feed is
locked last and for the shortest time.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session

from service.store.inserts import table_of, upsert_into
from service.store.statements import insert_rows, update_rows
from service.store.tables import (
    Act,
    Command,
    CommandStatus,
    Event,
    Feed,
    Invoice,
    InvoiceRecord,
    Payment,
    PaymentRecord,
    StoredVippsEvent,
    Transition,
)

Row = dict[str, Any]
Loadable = InvoiceRecord | PaymentRecord


@dataclass(slots=True)
class Rows:
    """What a transaction will write."""

    new_invoices: list[InvoiceRecord] = field(default_factory=list)
    new_payments: list[PaymentRecord] = field(default_factory=list)
    invoices: dict[str, InvoiceRecord] = field(default_factory=dict)
    rescheduled: dict[str, InvoiceRecord] = field(default_factory=dict)  # perhaps nothing else
    payments: dict[str, PaymentRecord] = field(default_factory=dict)
    acts: list[Row] = field(default_factory=list)
    vipps_events: list[Row] = field(default_factory=list)
    rejudged: list[Row] = field(default_factory=list)  # early ones: key, new_outcome, why, at
    confirmed: list[Row] = field(default_factory=list)  # by evidence: key, at
    transitions: list[Row] = field(default_factory=list)
    commands: list[Row] = field(default_factory=list)
    reads: dict[str, Row] = field(default_factory=dict)  # by payment
    events: list[Row] = field(default_factory=list)


_vipps_event = table_of(StoredVippsEvent)
_REJUDGE = (
    sa.update(_vipps_event)
    .where(_vipps_event.c.id == sa.bindparam("key"))
    .values(
        outcome=sa.bindparam("new_outcome"),
        reason=sa.bindparam("why"),
        applied_at=sa.bindparam("at"),
    )
)

_transition = table_of(Transition)
_CONFIRM = (
    sa.update(_transition)
    .where(
        _transition.c.evidence_id == sa.bindparam("key"),
        _transition.c.confirmed_at.is_(None),
    )
    .values(confirmed_at=sa.bindparam("at"))
)


def post(session: Session, rows: Rows, changes: Callable[[Loadable], Row]) -> None:
    """Write all rows, then number and write the events of each sales unit's feed.

    `changes` says in which columns a row that was loaded differs now."""
    insert_rows(session, Invoice, [record.values() for record in rows.new_invoices])
    _save_invoices(session, rows, changes)
    _save_payments(session, rows, changes)
    insert_rows(session, Payment, [record.values() for record in rows.new_payments])
    insert_rows(session, Act, rows.acts)
    insert_rows(session, StoredVippsEvent, rows.vipps_events)
    insert_rows(session, Transition, rows.transitions)
    insert_rows(session, Command, rows.commands)
    _hasten(session, list(rows.reads.values()))
    if rows.rejudged:
        session.execute(_REJUDGE, rows.rejudged)
    if rows.confirmed:
        session.execute(_CONFIRM, rows.confirmed)
    _append_to_feeds(session, rows.events)


def _save_invoices(session: Session, rows: Rows, changes: Callable[[Loadable], Row]) -> None:
    new = {record.id for record in rows.new_invoices}
    for key, record in rows.invoices.items():
        if key not in new:
            record.version += 1
    # When it is due again is nothing that anybody outside would see: the version stays.
    loaded = {**rows.rescheduled, **rows.invoices}
    changed = {key: changes(record) for key, record in loaded.items() if key not in new}
    update_rows(session, Invoice, changed)


def _save_payments(session: Session, rows: Rows, changes: Callable[[Loadable], Row]) -> None:
    new = {record.id for record in rows.new_payments}
    loaded = rows.payments.items()
    update_rows(session, Payment, {key: changes(r) for key, r in loaded if key not in new})


def _hasten(session: Session, reads: Sequence[Row]) -> None:
    """Insert the reads; where one already waits, bring it forward instead."""
    if not reads:
        return
    table = table_of(Command)
    insert = upsert_into(session, Command)
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    earlier = sa.func.min if is_sqlite else sa.func.least
    due = table.c.next_attempt_at
    statement = insert.on_conflict_do_update(
        index_elements=[table.c.payment_id],
        index_where=sa.text("kind = 'read_payment' AND status = 'waiting'"),
        set_={"next_attempt_at": earlier(due, insert.excluded.next_attempt_at)},
    )
    session.execute(statement, [{**_COMMAND_DEFAULTS, **read} for read in reads])


_COMMAND_DEFAULTS: Row = {"status": CommandStatus.WAITING, "attempts": 0}


def _append_to_feeds(session: Session, events: Sequence[Row]) -> None:
    """Give each event the next position of its sales unit's feed.

    The feed's row stays locked until the commit, so positions appear in their order and
    without gaps: a reader that has seen 8 can't be told of a 7 later (I8)."""
    by_unit: dict[str, list[Row]] = {}
    for event in events:
        by_unit.setdefault(event["msn"], []).append(event)
    table = table_of(Feed)
    for msn in sorted(by_unit):  # in order: two transactions can't wait for each other
        mine = by_unit[msn]
        last = session.execute(
            sa.update(table)
            .where(table.c.msn == msn)
            .values(position=table.c.position + len(mine))
            .returning(table.c.position)
        ).scalar_one()
        for position, event in enumerate(mine, start=last - len(mine) + 1):
            event["position"] = position
    insert_rows(session, Event, events)
