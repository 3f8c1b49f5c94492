"""What a restored database has to read at Vipps before it sends anything again: asked for here.

The reads are commands like all others, made by whichever process has a worker; each takes itself
off the list where it is settled. Killed anywhere, the next process goes on with what is left.
"""

import asyncio
from datetime import datetime, timedelta
from functools import partial
from math import inf
from typing import Any

import sqlalchemy as sa
import structlog
from anyio import to_thread
from sqlmodel import Session

from service.commands.seeking import Seeker
from service.context import Context
from service.errors import DatabaseAway
from service.kinds import CommandKind
from service.ledger.book import Book, write
from service.store.inserts import table_of
from service.store.recovery import end_recovery_if_read, to_be_read
from service.store.tables import OPEN_STATUSES, Command, CommandStatus, Payment, Unread
from service.vipps import VippsClient
from service.wake import is_set_within, rest

# So many reads wait at a time: their invoices are locked while they are planned.
AT_ONCE = 200
# More reads than Vipps answers in that time are planned already.
PAUSE_S = 0.5
# A read that Vipps has refused is asked for again after this.
AGAIN = timedelta(seconds=60)

log = structlog.get_logger(__name__)


class Recoverer:
    """Has all read that is unread, and ends recoveries, until it is told to stop."""

    def __init__(self, context: Context, client: VippsClient) -> None:
        """Keep what is needed; nothing is looked at yet."""
        self._context = context
        self._seeker = Seeker(context, client)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set."""
        wake = self._context.wake
        listener = wake.recovery.listen()
        try:
            while not stop.is_set():
                if await self.look():
                    await is_set_within(stop, PAUSE_S)
                else:
                    await rest(listener.wait, wake, stop=stop, due_in_s=lambda: inf)
        finally:
            listener.close()

    async def look(self) -> bool:
        """Seek and ask for what comes next, of each sales unit; True where anything is unread."""
        try:
            unread = await to_thread.run_sync(self._unread)
            for msn, since in unread:
                await self._seeker.seek(msn)
                await to_thread.run_sync(self._go_on, msn, since)
        except DatabaseAway:
            log.warning("not_recovered", reason="DatabaseAway")
        except Exception:
            # The worker boundary: the next look may do better.
            log.exception("not_recovered")
        else:
            return bool(unread)
        return True

    def _unread(self) -> list[tuple[str, datetime | None]]:
        with self._context.database.snapshot() as session:
            return to_be_read(session)

    def _go_on(self, msn: str, since: datetime | None) -> None:
        if write(self._context, partial(_ask, msn=msn)) or since is None:
            return
        with self._context.database.transaction() as session:
            is_over = end_recovery_if_read(session, msn, since=since)
        if is_over:
            log.info("recovered", sales_unit=msn)
            self._context.wake.set_all_work()


def _ask(book: Book, msn: str) -> bool:
    """Ask for the reads that come next; False where nothing is left to read."""
    first = _first(book.session, msn, now=book.real_now)
    to_ask = {row.id: row.invoice_id for row in first if not row.is_asked}
    book.load(set(to_ask.values()))
    for invoice_id in sorted(set(to_ask.values())):
        for payment in book.payments(book.invoice(invoice_id)):
            if payment.id in to_ask:
                book.plan_read(payment)
    return bool(first)


def _first(session: Session, msn: str, *, now: datetime) -> list[sa.Row[Any]]:
    """Return what is first on the list, and whether it is asked for already.

    A read that its schedule has planned for later is not; one that waits after a failure is."""
    unread, payment, read = (table_of(m).c for m in (Unread, Payment, Command))
    is_tried = sa.or_(read.attempts > 0, read.next_attempt_at <= now)
    is_asked = sa.exists().where(
        read.payment_id == unread.id,
        read.kind == CommandKind.READ_PAYMENT,
        sa.or_(
            sa.and_(read.status.in_(OPEN_STATUSES), is_tried),
            sa.and_(read.status == CommandStatus.FAILED, read.settled_at > now - AGAIN),
        ),
    )
    listed = (
        sa.select(unread.id, payment.invoice_id, is_asked.label("is_asked"))
        .join_from(table_of(Unread), table_of(Payment), payment.id == unread.id)
        .where(unread.msn == msn)
        .order_by(unread.id)
        .limit(AT_ONCE)
    )
    return list(session.execute(listed))
