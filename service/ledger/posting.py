"""Writing a book's rows: one statement per table, built once from the tables.

The sequence of the statements is the sequence of the locks and of the constraints: a
payment's end is written before its successor (one live payment per invoice), the feed is
locked last and for the shortest time.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session

from service.store.inserts import table_of
from service.store.statements import add_to, insert_rows, update_rows, upsert_rows
from service.store.tables import (
    Act,
    Command,
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

    @property
    def is_empty(self) -> bool:
        """Tell whether nothing of it is to be written."""
        return not any(getattr(self, each.name) for each in fields(self))


_feed = table_of(Feed).c
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
    upsert_rows(session, Command, list(rows.reads.values()), conflict=_HASTEN)
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


# A read that already waits is brought forward instead.
_HASTEN = (
    "ON CONFLICT (payment_id) WHERE kind = 'read_payment' AND status = 'waiting' DO UPDATE"
    " SET next_attempt_at = {least}(command.next_attempt_at, excluded.next_attempt_at)"
)


def _append_to_feeds(session: Session, events: Sequence[Row]) -> None:
    """Give each event the next position of its sales unit's feed.

    The feed's row stays locked until the commit, so positions appear in their order and
    without gaps: a reader that has seen 8 can't be told of a 7 later (I8)."""
    by_unit: dict[str, list[Row]] = {}
    for event in events:
        by_unit.setdefault(event["msn"], []).append(event)
    for msn in sorted(by_unit):  # in order: two transactions can't wait for each other
        mine = by_unit[msn]
        last = add_to(session, _feed.position, (_feed.msn, msn), len(mine))
        for position, event in enumerate(mine, start=last - len(mine) + 1):
            event["position"] = position
    insert_rows(session, Event, events)
