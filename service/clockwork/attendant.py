"""The loop that looks after invoices whose time has come; any number of processes."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

import sqlalchemy as sa
import structlog
from anyio import to_thread
from sqlmodel import col

from service.clock import seconds_until
from service.clockwork.jumps import always
from service.context import Context
from service.errors import DatabaseAway
from service.ledger.attending import attend, put_off
from service.ledger.book import Book, write
from service.store.recovery import RECOVERING
from service.store.tables import Invoice
from service.wake import is_set_within, rest

# Enough for bursts at nine o'clock, little enough for one short transaction.
AT_ONCE = 100
# A busy ledger says with each commit that something has changed; so often is enough.
PAUSE_S = 0.5
# One that can't be attended must not be looked at every second, nor be forgotten.
PUT_OFF = timedelta(minutes=10)

log = structlog.get_logger(__name__)


class Attendant:
    """Attends to due invoices until it is told to stop."""

    def __init__(self, context: Context, may_decide: Callable[[], bool] = always) -> None:
        """Keep what is needed; nothing is looked at yet. `may_decide`: whether the time is sure."""
        self._context = context
        self._may_decide = may_decide
        self._next_at: datetime | None = None  # when the next is due, as of the last look

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set."""
        wake = self._context.wake
        listener = wake.invoices.listen()
        try:
            while not stop.is_set():
                if not await to_thread.run_sync(self.attend_due):
                    await is_set_within(stop, PAUSE_S)
                    await rest(listener.wait, wake, stop=stop, due_in_s=self._due_in_s)
        finally:
            listener.close()

    def _due_in_s(self) -> float:
        return seconds_until(self._next_at, self._context.clock.business_now())

    def attend_due(self) -> bool:
        """Attend to what is due now; False where nothing was, or could be."""
        self._next_at = self._context.clock.business_now()  # where the look fails
        if not self._may_decide():
            return False
        try:
            return self._together()
        except DatabaseAway:
            log.warning("not_attended", reason="DatabaseAway")
        except Exception:
            # The worker boundary: one odd invoice must not stop the sweep of all others.
            log.exception("not_attended")
            self._one_by_one()
        return False

    def _together(self) -> bool:
        def work(book: Book) -> bool:
            due = _due(self._context)
            if not self._context.database.is_sqlite:
                due = due.with_for_update(skip_locked=True)
            ids = book.session.execute(due).scalars().all()
            book.load(ids)
            for invoice_id in ids:
                attend(book, book.invoice(invoice_id))
            if not ids:
                self._next_at = book.session.scalars(_FIRST).one()
            return bool(ids)

        return write(self._context, work)

    def _one_by_one(self) -> None:
        try:
            with self._context.database.snapshot() as session:
                ids = session.execute(_due(self._context)).scalars().all()
            for invoice_id in ids:
                self._alone(invoice_id)
        except DatabaseAway:
            log.warning("not_attended", reason="DatabaseAway")

    def _alone(self, invoice_id: str) -> None:
        try:
            write(self._context, partial(_attend_one, invoice_id=invoice_id))
        except DatabaseAway:
            raise
        except Exception:
            log.exception("invoice_put_off", invoice=invoice_id)
            self._put_off(invoice_id)

    def _put_off(self, invoice_id: str) -> None:
        later = self._context.clock.business_now() + PUT_OFF
        with self._context.database.transaction() as session:
            put_off(session, invoice_id, later)


def _attend_one(book: Book, invoice_id: str) -> None:
    book.load([invoice_id])
    attend(book, book.invoice(invoice_id))


_FIRST = sa.select(sa.func.min(col(Invoice.attend_at)))


def _due(context: Context) -> sa.Select[str]:
    return (
        sa.select(col(Invoice.id))
        .where(
            col(Invoice.attend_at) <= context.clock.business_now(),
            # What a restored database would decide by the clock may have been done already.
            col(Invoice.msn).not_in(RECOVERING),
        )
        .order_by(col(Invoice.attend_at))
        .limit(AT_ONCE)
    )
