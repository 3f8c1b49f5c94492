"""Reading payments now, by the worker's own path, and telling what that has healed."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import Any

import sqlalchemy as sa
from anyio import to_thread
from sqlmodel import Session, col

from service.commands.worker import CommandWorker
from service.context import Context
from service.kinds import CommandKind
from service.ledger.book import Book
from service.ledger.reading import DRIFTING_READS
from service.store.tables import (
    LIVE_PAYMENT_STATES,
    OPEN_STATUSES,
    Command,
    CommandStatus,
    Invoice,
    Payment,
    SalesUnit,
    Transition,
)
from service.vipps import VippsClient
from statemachine import PaymentState

# What was paid can be changed by hand in Vipps's portal; most of that happens soon.
FRESH = timedelta(days=14)
# One transaction plans so many reads: small, because it locks their invoices.
AT_ONCE = 100
# A read that has failed so often is left to the running service.
TRIES_MAX = 3
LOOK_EVERY_S = 0.1


@dataclass(frozen=True, slots=True)
class Chosen:
    """One payment to read, and how far its invoice's history went before."""

    id: str
    reference: str
    msn: str
    invoice_id: str
    invoice_reference: str
    sequence: int


@dataclass(frozen=True, slots=True)
class Healed:
    """One transition that a read has made since the reconciliation began."""

    msn: str
    reference: str
    from_state: str | None
    to_state: str
    trigger: str
    payment_reference: str | None


@dataclass(slots=True)
class Report:
    """What a reconciliation did; `unread` and `drifting` are references of payments."""

    read: int = 0
    healed: list[Healed] = field(default_factory=list)
    drifting: list[str] = field(default_factory=list)  # Vipps's sums are not those of its log
    unread: list[str] = field(default_factory=list)  # Vipps gave no answer, or refuses the keys


def choose(
    context: Context, *, msn: str = "", reference: str = "", is_all: bool = False
) -> list[Chosen]:
    """Return the payments that may still change at Vipps, by invoice.

    Those live, with money still reserved, or changed within 14 days of being paid. An invoice's
    `reference`, or `is_all`, takes them all, whatever their state."""
    conditions = [col(Invoice.msn) == msn] if msn else []
    if reference:
        conditions.append(col(Invoice.reference) == reference)
    elif not is_all:
        conditions.append(_may_change(context))
    columns: list[Any] = [
        col(Payment.id),
        col(Payment.reference),
        col(Payment.msn),
        col(Payment.invoice_id),
        col(Invoice.reference).label("invoice_reference"),
        col(Invoice.sequence),
    ]
    chosen = sa.select(*columns).join(Invoice, col(Payment.invoice_id) == col(Invoice.id))
    order = (col(Payment.invoice_id), col(Payment.attempt))
    with context.database.snapshot() as session:
        rows = session.execute(chosen.where(*conditions).order_by(*order)).all()
    return [Chosen(*row) for row in rows]


def _may_change(context: Context) -> sa.ColumnElement[bool]:
    taken = col(Payment.captured_minor) + col(Payment.cancelled_minor)
    is_fresh = col(Payment.updated_at) >= context.clock.business_now() - FRESH
    is_open = taken < col(Payment.authorized_minor)
    is_paid = col(Payment.state) == PaymentState.AUTHORIZED
    return sa.or_(
        col(Payment.state).in_(LIVE_PAYMENT_STATES), sa.and_(is_paid, sa.or_(is_fresh, is_open))
    )


async def reconcile(
    context: Context,
    client: VippsClient,
    chosen: Sequence[Chosen],
    *,
    dice: Random,
    on_progress: Callable[[int], None],
) -> Report:
    """Read these payments as the worker does, and tell what came of it.

    `on_progress` is called with how many more are done. Works beside a running service: each
    read is made by one of the two. Raises: DatabaseAway."""
    context.wake.bind()
    stop, report = asyncio.Event(), Report()
    worker = asyncio.create_task(CommandWorker(context, client, dice=dice).run(stop))
    try:
        for start in range(0, len(chosen), AT_ONCE):
            batch = chosen[start : start + AT_ONCE]
            await _read(context, batch, report, on_progress)
            await to_thread.run_sync(_take_stock, context, batch, report)
    finally:
        stop.set()
        await worker
    return report


async def _read(
    context: Context,
    batch: Sequence[Chosen],
    report: Report,
    on_progress: Callable[[int], None],
) -> None:
    """Have a batch read, and what a read found to differ once more."""
    waiting = await to_thread.run_sync(_plan, context, batch)
    report.read += len(waiting)
    report.unread += await _until_settled(context, waiting, on_progress)
    again = await to_thread.run_sync(_planned_again, context, batch)
    await _until_settled(context, again, lambda _: None)


def _plan(context: Context, batch: Sequence[Chosen]) -> dict[str, str]:
    """Plan a read of each payment, due now; return the payments' references by command."""
    ids = {one.id for one in batch}
    with context.database.transaction() as session:
        book = Book(session, context)
        book.load({one.invoice_id for one in batch})
        for invoice_id in sorted({one.invoice_id for one in batch}):
            for payment in book.payments(book.invoice(invoice_id)):
                if payment.id in ids:
                    book.plan_read(payment)
        book.post()
        # Before the commit: nobody can have begun one of them yet.
        planned = _reads_waiting(session, ids)
    context.wake.commands.set()
    return planned


def _planned_again(context: Context, batch: Sequence[Chosen]) -> dict[str, str]:
    """Return the reads that wait because the one before saw a difference for the first time."""
    with context.database.snapshot() as session:
        drifting = sa.select(col(Payment.id)).where(
            col(Payment.id).in_([one.id for one in batch]),
            col(Payment.drifting_reads).between(1, DRIFTING_READS - 1),
        )
        return _reads_waiting(session, set(session.scalars(drifting)))


def _reads_waiting(session: Session, payment_ids: set[str]) -> dict[str, str]:
    waiting = (
        sa.select(col(Command.id), col(Payment.reference))
        .join(Payment, col(Command.payment_id) == col(Payment.id))
        .where(
            col(Command.payment_id).in_(payment_ids),
            col(Command.kind) == CommandKind.READ_PAYMENT,
            col(Command.status) == CommandStatus.WAITING,
        )
    )
    return {row.id: row.reference for row in session.execute(waiting)}


async def _until_settled(
    context: Context, waiting: dict[str, str], on_progress: Callable[[int], None]
) -> list[str]:
    """Return when each read is done or given up; name the payments of the latter."""
    left, given_up = dict(waiting), list[str]()
    while left:
        settled, hopeless = await to_thread.run_sync(_look, context, set(left))
        given_up += [left[key] for key in hopeless]
        for key in settled | hopeless:
            del left[key]
        on_progress(len(settled | hopeless))
        if left:
            await asyncio.sleep(LOOK_EVERY_S)
    return given_up


def _look(context: Context, ids: set[str]) -> tuple[set[str], set[str]]:
    """Return which reads are done, and which will not be for some time."""
    now = context.clock.now()
    with context.database.snapshot() as session:
        rows = session.execute(
            sa.select(
                col(Command.id),
                col(Command.status),
                col(Command.attempts),
                col(SalesUnit.held_until),
                col(SalesUnit.vipps_keys).is_(None).label("has_no_keys"),
            )
            .join(SalesUnit, col(Command.msn) == col(SalesUnit.msn))
            .where(col(Command.id).in_(ids))
        ).all()
    settled = {row.id for row in rows if row.status == CommandStatus.DONE}
    hopeless = {row.id for row in rows if row.id not in settled and _is_hopeless(row, now)}
    return settled, hopeless


def _is_hopeless(row: sa.Row[tuple[object, ...]], now: object) -> bool:
    if row.status == CommandStatus.WAITING:
        is_held = row.has_no_keys or (row.held_until is not None and row.held_until > now)
        return bool(is_held or row.attempts >= TRIES_MAX)
    return row.status not in OPEN_STATUSES


def _take_stock(context: Context, batch: Sequence[Chosen], report: Report) -> None:
    """Add to the report what reads have moved since, and where sums differ."""
    of = {one.invoice_id: one for one in batch}
    with context.database.snapshot() as session:
        moved = sa.select(Transition).where(
            col(Transition.invoice_id).in_(of), col(Transition.source) == "poll"
        )
        order = (col(Transition.invoice_id), col(Transition.sequence))
        rows = session.scalars(moved.order_by(*order)).all()
        drifting = sa.select(col(Payment.reference)).where(
            col(Payment.id).in_([one.id for one in batch]),
            col(Payment.drifting_reads) >= DRIFTING_READS,
        )
        report.drifting += session.scalars(drifting.order_by(col(Payment.reference)))
    report.healed += [
        _healed(row, of[row.invoice_id])
        for row in rows
        if row.sequence > of[row.invoice_id].sequence
    ]


def _healed(row: Transition, chosen: Chosen) -> Healed:
    return Healed(
        msn=chosen.msn,
        reference=chosen.invoice_reference,
        from_state=row.from_state,
        to_state=row.to_state,
        trigger=row.trigger,
        payment_reference=row.payment_reference,
    )
