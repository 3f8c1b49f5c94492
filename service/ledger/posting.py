"""Writing a book's rows: one statement per table, built once from the tables.

The sequence of the statements is the sequence of the locks and of the constraints: a
payment's end is written before its successor (one live payment per invoice), the feed is
locked last and for the shortest time.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session, SQLModel

from service.store.inserts import table_of, upsert_into
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


# Columns that never change after the insert are left out of the update.
_FIXED_INVOICE = frozenset(
    {"id", "msn", "reference", "amount_minor", "currency", "description", "flow"}
    | {"capture", "due_date", "terms", "creation_hash", "page_lookup", "created_at"}
)
_FIXED_PAYMENT = frozenset({"id", "msn", "invoice_id", "attempt", "reference", "user_flow"})


def _update(model: type[SQLModel], fixed: frozenset[str]) -> tuple[sa.Update, tuple[str, ...]]:
    table = table_of(model)
    names = tuple(column.name for column in table.c if column.name not in fixed)
    statement = sa.update(table).where(table.c.id == sa.bindparam("key"))
    return statement.values({name: sa.bindparam(f"new_{name}") for name in names}), names


_UPDATE_INVOICE, _INVOICE_NAMES = _update(Invoice, _FIXED_INVOICE)
_UPDATE_PAYMENT, _PAYMENT_NAMES = _update(Payment, _FIXED_PAYMENT)

_RESCHEDULE = (
    sa.update(table_of(Invoice))
    .where(table_of(Invoice).c.id == sa.bindparam("key"))
    .values(attend_at=sa.bindparam("at"))
)

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


def post(session: Session, rows: Rows) -> None:
    """Write all rows, then number and write the events of each sales unit's feed."""
    _insert(session, Invoice, [record.model_dump() for record in rows.new_invoices])
    _save_invoices(session, rows)
    _reschedule(session, rows)
    _save_payments(session, rows)
    _insert(session, Payment, [record.model_dump() for record in rows.new_payments])
    _insert(session, Act, rows.acts)
    _insert(session, StoredVippsEvent, rows.vipps_events)
    _insert(session, Transition, rows.transitions)
    _insert(session, Command, rows.commands)
    _hasten(session, list(rows.reads.values()))
    if rows.rejudged:
        session.execute(_REJUDGE, rows.rejudged)
    if rows.confirmed:
        session.execute(_CONFIRM, rows.confirmed)
    _append_to_feeds(session, rows.events)


def _insert(session: Session, model: type[SQLModel], rows: Sequence[Row]) -> None:
    if rows:
        session.execute(sa.insert(table_of(model)), rows)


def _save_invoices(session: Session, rows: Rows) -> None:
    new = {record.id for record in rows.new_invoices}
    changed = [record for key, record in rows.invoices.items() if key not in new]
    for record in changed:
        record.version += 1
    if changed:
        session.execute(_UPDATE_INVOICE, [_changes(r, _INVOICE_NAMES) for r in changed])


def _reschedule(session: Session, rows: Rows) -> None:
    """Write what nobody outside would see changed: the version must stay."""
    quiet = sorted(rows.rescheduled.keys() - rows.invoices.keys())
    if quiet:
        due = [{"key": key, "at": rows.rescheduled[key].attend_at} for key in quiet]
        session.execute(_RESCHEDULE, due)


def _save_payments(session: Session, rows: Rows) -> None:
    new = {record.id for record in rows.new_payments}
    changed = [record for key, record in rows.payments.items() if key not in new]
    if changed:
        session.execute(_UPDATE_PAYMENT, [_changes(r, _PAYMENT_NAMES) for r in changed])


def _changes(record: InvoiceRecord | PaymentRecord, names: tuple[str, ...]) -> Row:
    values: Row = {f"new_{name}": getattr(record, name) for name in names}
    values["key"] = record.id
    return values


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
    _insert(session, Event, events)
