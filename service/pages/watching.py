"""While a page is open, its payment is read more often: contract section 4."""

from datetime import timedelta

import sqlalchemy as sa
from anyio import to_thread
from sqlmodel import Session, col

from service.context import Context
from service.kinds import CommandKind
from service.ledger.book import Book, write
from service.ledger.loaded import live_payment
from service.pages.look import Found
from service.store.tables import CommandAttempt, PaymentRecord
from statemachine import PaymentState

# Vipps's guideline for who waits (facts, section 7); a read is two calls, so half of what Vipps
# allows a minute is left.
_EVERY = timedelta(seconds=2)


class Watching:
    """Have a payment read that somebody is looking at, unless it just was."""

    def __init__(self, context: Context) -> None:
        """Keep what is needed."""
        self._context = context

    async def look(self, found: Found) -> None:
        """Have the live payment read, if it is known at Vipps and was not read just now."""
        live = live_payment(found.payments)
        if live is not None and live.state == PaymentState.CREATED:
            await to_thread.run_sync(self._read, live)

    def _read(self, live: PaymentRecord) -> None:
        with self._context.database.snapshot() as session:
            if self._was_just_read(session, live.id):
                return

        def work(book: Book) -> None:
            _, payment = book.payment(live.id)
            if payment.state == PaymentState.CREATED:
                book.plan_read(payment)

        write(self._context, work)

    def _was_just_read(self, session: Session, payment_id: str) -> bool:
        since = self._context.clock.now() - _EVERY
        tries = sa.select(col(CommandAttempt.command_id)).where(
            col(CommandAttempt.payment_id) == payment_id,
            col(CommandAttempt.kind) == CommandKind.READ_PAYMENT,
            col(CommandAttempt.started_at) > since,
        )
        return session.execute(tries.limit(1)).first() is not None
