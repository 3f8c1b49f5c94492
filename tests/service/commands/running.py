"""Commands without a network: claimed for real, answered by hand."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from service.commands.claim import Claimed, claim
from service.commands.run import Ran, Reading
from service.commands.settle import settle
from service.kinds import CommandKind
from service.store.tables import Command
from service.vipps import Answer, CommandVerdict, Then, judge
from tests.builders import Desk, VippsPayment


def claimed(desk: Desk, limit: int = 32) -> list[Claimed]:
    """Claim what is due, as a worker does."""
    with desk.context.database.transaction() as session:
        return claim(session, desk.context.vault, desk.context.clock, limit=limit)


def claimed_one(desk: Desk, kind: str) -> Claimed:
    """Claim the one command of a kind; what is due beside it is put off for an hour."""
    later = desk.now() + timedelta(hours=1)
    with desk.context.database.transaction() as session:
        others = sa.column("kind") != kind
        is_open = sa.column("status").in_(("waiting", "running"))
        table = sa.update(Command).where(others, is_open)
        session.execute(table.values(next_attempt_at=later, is_serial=False))
    (one,) = claimed(desk)
    return one


def an_answer(
    status: int | None = 200,
    code: str | None = None,
    *,
    retry_after_s: int | None = None,
    **body: Any,
) -> Answer:
    """Return an answer of Vipps; one with a code is a problem of the API."""
    if status is not None and status >= 400:
        body = {"title": "no", "traceId": "trace-1", **body}
    return Answer(status, body, code, "trace-1" if code else None, retry_after_s, 12)


def accepted(one: Claimed, status: int = 200) -> Answer:
    """Return Vipps's yes to a command."""
    return an_answer(status, reference=one.reference)


def ran(
    desk: Desk,
    one: Claimed,
    answer: Answer,
    vipps: VippsPayment | None = None,
    *,
    owner: str | None = None,
    redirect_url: str | None = None,
    is_absent: bool = False,
    is_instead: bool = False,
) -> Ran:
    """Return a command as it comes back from Vipps; `vipps` is what a read found.

    `is_instead`: it was only read, and not sent any more."""
    verdict = judge(
        one.kind,
        answer,
        attempt=one.attempt,
        jitter=0.0,
        has_expires_at="expiresAt" in (one.body or {}),
    )
    if is_instead:
        verdict = CommandVerdict(Then.ASK_ANEW, 0.0, None)
    reading = Reading(vipps.log(), vipps.snapshot(owner or one.invoice_id)) if vipps else None
    return Ran(one, answer, verdict, reading, redirect_url, desk.now(), is_absent)


def settled(desk: Desk, *batch: Ran) -> list[bool]:
    """Settle what was run, in one transaction."""
    return desk.write(lambda book: settle(book, batch))


def command(desk: Desk, key: str) -> Command:
    """Return a command as it is now."""
    found: Command = desk.all(Command, Command.id == key)[0]
    return found


def kinds(found: Sequence[Claimed]) -> list[CommandKind]:
    """Return the kinds of what was claimed."""
    return [one.kind for one in found]


def waits_s(desk: Desk, key: str) -> float:
    """Return in how many seconds a command is due again."""
    return (command(desk, key).next_attempt_at - desk.now()).total_seconds()
