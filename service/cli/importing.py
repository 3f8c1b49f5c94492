"""Rows of a file become invoices: known ones are left, new ones made at a steady pace.

Straight into the ledger, as the API does it, and not over HTTP: it needs no key and no running
`serve`, and what it writes is decided and stored the same way. Each row is a transaction of its
own, so that on SQLite a running service waits for milliseconds, and a kill costs no row.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TypeVar

import sqlalchemy as sa
from sqlmodel import col

from service.api.creation import new_invoice
from service.cli.rows import Row
from service.context import Context
from service.errors import Conflict, DatabaseAway, InvalidInput, ServiceError
from service.kinds import CommandKind
from service.ledger.book import Book, write
from service.ledger.invoices import create_invoice
from service.ledger.resource import page_url
from service.ledger.types import Ask
from service.store.tables import OPEN_STATUSES, Command, Invoice, InvoiceRecord
from statemachine import MachineError

T = TypeVar("T")

ACTOR = Ask(actor="cli", source="operator")

# One look finds which rows of so many are there already.
_LOOK_ROWS = 200
# Requests that wait for Vipps; with more, a merchant's captures would wait behind them.
_WAITING_MAX = 200
_COUNT_EVERY_ROWS = 20
# A worker sends some a second; where none has gone in this time there is no worker.
_IDLE_S = 60.0
# A database that restarts, or a long write beside us.
_AWAY_S = 60.0
_AGAIN_S = 0.5


@dataclass(frozen=True, slots=True)
class Done:
    """What became of one row: `created`, `unchanged` or `refused`, and why or where."""

    row: Row
    outcome: str
    page_url: str = ""
    column: str = ""
    reason: str = ""


class _Undone(Exception):
    """Ends a transaction that must leave nothing behind."""


def import_rows(
    context: Context, msn: str, rows: Iterable[Row], *, rate: float, is_trial: bool
) -> Iterator[Done]:
    """Yield what becomes of each row, in their order; at most `rate` new ones a second.

    A trial decides everything and stores nothing. Doing it again leaves what is there.
    Raises: DatabaseAway, Conflict where nobody sends what is made."""
    pace = _Pace(context, msn, rate)
    left = iter(rows)
    while batch := list(islice(left, _LOOK_ROWS)):
        known = _patiently(partial(_known, context, msn, batch))
        for row in batch:
            if (found := known.get(row.reference)) is not None:
                yield found
            elif is_trial:
                yield _tried(context, msn, row)
            else:
                pace.wait(row)
                yield _made(context, msn, row)


def _known(context: Context, msn: str, batch: list[Row]) -> dict[str, Done]:
    """Return the rows whose invoice is there already, the same or another."""
    names = [row.reference for row in batch]
    named = sa.select(Invoice).where(col(Invoice.msn) == msn, col(Invoice.reference).in_(names))
    with context.database.snapshot() as session:
        found = {invoice.reference: invoice for invoice in session.scalars(named)}
    return {
        row.reference: _compared(context, row, found[row.reference])
        for row in batch
        if row.reference in found
    }


def _compared(context: Context, row: Row, invoice: Invoice) -> Done:
    same = context.vault.request_print(new_invoice(row.body).creation_hash)
    if bytes(invoice.creation_hash) == same:
        return Done(row, "unchanged", _page(context, invoice))
    return Done(row, "refused", "", "reference", "is taken by an invoice that differs")


def _made(context: Context, msn: str, row: Row) -> Done:
    def work(book: Book) -> Done:
        invoice, is_new = create_invoice(book, msn, new_invoice(row.body), ACTOR)
        return Done(row, "created" if is_new else "unchanged", _page(context, invoice))

    return _unless_refused(row, lambda: write(context, work))


def _tried(context: Context, msn: str, row: Row) -> Done:
    def work() -> Done:
        done: list[Done] = []
        try:
            with context.database.transaction() as session:
                book = Book(session, context)
                create_invoice(book, msn, new_invoice(row.body), ACTOR)
                book.post()
                done.append(Done(row, "created"))
                raise _Undone
        except _Undone:
            return done[0]

    begun = time.monotonic()
    done = _unless_refused(row, work)
    # Without a pace a trial would be the database's only writer: half the time is others'.
    time.sleep(time.monotonic() - begun)
    return done


def _unless_refused(row: Row, work: Callable[[], Done]) -> Done:
    try:
        return _patiently(work)
    except InvalidInput as error:
        first = error.errors[0]
        return Done(row, "refused", "", first.field, first.reason)
    except DatabaseAway:
        raise
    except (ServiceError, MachineError) as error:
        code = getattr(error, "code", "refused")
        return Done(row, "refused", "", "row", f"{code}: {error}")


def _patiently(work: Callable[[], T]) -> T:
    """Return what it returns, once the database is back. Raises: DatabaseAway, after a minute."""
    until = time.monotonic() + _AWAY_S
    while True:
        try:
            return work()
        except DatabaseAway:
            if time.monotonic() > until:
                raise
            time.sleep(_AGAIN_S)


def _page(context: Context, invoice: InvoiceRecord) -> str:
    return page_url(invoice.id, context.vault, context.settings.base_url)


class _Pace:
    """How fast new invoices may be made: by the clock, and by what Vipps has taken."""

    def __init__(self, context: Context, msn: str, rate: float) -> None:
        self._context, self._msn, self._step_s = context, msn, 1 / rate
        self._next = time.monotonic()
        self._asked = 0

    def wait(self, row: Row) -> None:
        """Return when one more may be made. Raises: Conflict, where nobody sends them."""
        time.sleep(max(0.0, self._next - time.monotonic()))
        self._next = max(self._next, time.monotonic() - self._step_s) + self._step_s
        if row.body.push and row.body.flow == "PUSH_MESSAGE":
            if self._asked % _COUNT_EVERY_ROWS == 0:
                self._let_vipps_catch_up()
            self._asked += 1

    def _let_vipps_catch_up(self) -> None:
        least, since = self._waiting(), time.monotonic()
        while (waiting := self._waiting()) >= _WAITING_MAX:
            if waiting < least:
                least, since = waiting, time.monotonic()
            if time.monotonic() - since > _IDLE_S:
                detail = f"{waiting} requests wait and none is sent: `betalbar doctor` says why"
                raise Conflict("conflict", f"{detail}; then do this again")
            time.sleep(_AGAIN_S)

    def _waiting(self) -> int:
        # As text and not as parameters: only then is the partial index seen to hold them.
        statuses: list[sa.ColumnElement[str]] = [
            sa.literal_column(f"'{status}'") for status in OPEN_STATUSES
        ]
        waiting = sa.select(sa.func.count()).where(
            col(Command.status).in_(statuses),
            col(Command.kind) == CommandKind.CREATE_PAYMENT,
            col(Command.msn) == self._msn,
        )

        def look() -> int:
            with self._context.database.snapshot() as session:
                return int(session.execute(waiting).scalar_one())

        return _patiently(look)
