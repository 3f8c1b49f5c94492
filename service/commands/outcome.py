"""Writing what became of commands: their rows, their tries, and what merchants see of it."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from service.commands.run import Ran
from service.ids import new_id
from service.kinds import CommandKind
from service.ledger.book import Book
from service.ledger.resource import rfc3339
from service.store.inserts import table_of
from service.store.statements import Selection, update_rows
from service.store.tables import Command, CommandAttempt, CommandStatus, InvoiceRecord, SalesUnit
from service.vipps import Then
from service.vipps.problem_texts import problem_text

_command, _attempt = table_of(Command), table_of(CommandAttempt)
_LEASES = Selection(
    (_command.c.id, _command.c.lease),
    key=_command.c.id,
    also=f"status = '{CommandStatus.RUNNING}'",
    sort=_command.c.id,
    is_locked=True,
)


def leases_now(book: Book, batch: Sequence[Ran]) -> Mapping[str, str]:
    """Take the commands' rows; return each one's lease, which may be another worker's by now."""
    rows = _LEASES.rows(book.session, sorted({ran.claimed.id for ran in batch}))
    return {row["id"]: row["lease"] for row in rows}


def write_attempts(book: Book, batch: Sequence[Ran]) -> None:
    """Note what each try gave."""
    book.session.execute(
        _WRITE_ATTEMPT,
        [
            {
                "of_command": ran.claimed.id,
                "of_number": ran.claimed.attempt,
                "latency_ms": ran.answer.latency_ms,
                "status": ran.answer.status,
                "code": ran.answer.code,
                "trace_id": ran.answer.trace_id,
            }
            for ran in batch
        ],
    )


_WRITE_ATTEMPT = (
    sa.update(_attempt)
    .where(
        _attempt.c.command_id == sa.bindparam("of_command"),
        _attempt.c.number == sa.bindparam("of_number"),
    )
    .values({name: sa.bindparam(name) for name in ("latency_ms", "status", "code", "trace_id")})
)


def close(book: Book, ran: Ran, status: CommandStatus) -> None:
    """Settle the command for good."""
    _set(book, ran, status=status, settled_at=book.real_now, lease=None, answer=_answer(ran))


def again(book: Book, ran: Ran, wait_s: float, *, has_new_key: bool = False) -> None:
    """Let the command wait; a courtesy that failed once holds up nobody any more.

    `has_new_key`: Vipps said no to this one, so that nothing has happened under it."""
    if ran.claimed.kind is CommandKind.READ_PAYMENT and _another_read_waits(book, ran):
        close(book, ran, CommandStatus.FAILED)
        return
    later = book.real_now + timedelta(seconds=wait_s)
    values: dict[str, Any] = {
        "status": CommandStatus.WAITING,
        "lease": None,
        "next_attempt_at": later,
    }
    if not ran.verdict.is_blocking:
        values["is_serial"] = False
    if has_new_key:
        values["idempotency_key"] = new_id("cmd")
    _set(book, ran, answer=_answer(ran), **values)


def _another_read_waits(book: Book, ran: Ran) -> bool:
    """Tell whether the payment's next read was decided while this one ran."""
    column = table_of(Command).c
    waiting = sa.select(column.id).where(
        column.payment_id == ran.claimed.payment_id,
        column.kind == CommandKind.READ_PAYMENT,
        column.status == CommandStatus.WAITING,
    )
    return book.session.execute(waiting.limit(1)).first() is not None


def _set(book: Book, ran: Ran, **values: Any) -> None:
    update_rows(book.session, Command, {ran.claimed.id: values})


def _answer(ran: Ran) -> dict[str, Any]:
    answer = ran.answer
    return {"status": answer.status, "code": answer.code, "traceId": answer.trace_id}


def show_problem(book: Book, invoice: InvoiceRecord, ran: Ran) -> None:
    """Put the refusal, or the silence, where the merchant sees it."""
    problem = {
        "command": ran.claimed.kind,
        "code": ran.answer.code,
        "status": ran.answer.status,
        "detail": problem_text(ran.answer.code, ran.answer.status),
        "traceId": ran.answer.trace_id,
        "at": rfc3339(book.now),
    }
    invoice.problem = problem
    book.touch(invoice)


def clear_problem(book: Book, invoice: InvoiceRecord) -> None:
    """Take away the problem that a success has ended."""
    if invoice.problem is not None:
        invoice.problem = None
        book.touch(invoice)


def hold_or_release(book: Book, batch: Sequence[Ran]) -> None:
    """Let a sales unit's commands wait while Vipps refuses its keys, and go on after that."""
    last: dict[str, Ran] = {}
    for ran in batch:
        if ran.verdict.then is Then.HOLD or ran.answer.is_success:
            last[ran.claimed.msn] = ran
    for msn in sorted(last):  # in order: two transactions can't wait for each other
        book.session.execute(_hold(book, last[msn]))


def _hold(book: Book, ran: Ran) -> sa.Update:
    table = table_of(SalesUnit)
    mine = sa.update(table).where(table.c.msn == ran.claimed.msn)
    if ran.verdict.then is not Then.HOLD:
        free = {"held_since": None, "held_until": None, "held_because": None}
        return mine.where(table.c.held_since.is_not(None)).values(free)
    return mine.values(
        held_since=sa.func.coalesce(table.c.held_since, book.real_now),
        held_until=book.real_now + timedelta(seconds=ran.verdict.wait_s),
        held_because=problem_text(ran.answer.code, ran.answer.status),
    )
