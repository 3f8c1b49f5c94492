"""A change that a merchant asks for: its effect and its stored answer share one commit."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from anyio import to_thread
from sqlmodel import Session

from service.api.answers import Answer
from service.api.bodies import parse_json, read_body
from service.api.calls import Call
from service.api.idempotency import (
    Claim,
    body_hash,
    claim_key,
    forget_key,
    keep_answer,
    read_key,
)
from service.api.resources import stored_invoice_answer
from service.api.waiting import Watch, is_under_way, until_settled
from service.context import Context
from service.store.tables import Invoice

# Beyond the wait itself: what the last look and the last commit may take.
_GRACE = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Mutation:
    """A mutating request, apart from what it asks."""

    body: Any
    claim: Claim | None
    if_match: str | None
    wait_s: int = 0


@dataclass(frozen=True, slots=True)
class Effect:
    """What one transaction has done: the answer now, and what is still awaited of Vipps."""

    answer: Answer
    watch: Watch | None = None


@dataclass(frozen=True, slots=True)
class Again:
    """What is answered once the wait is over."""

    claim: Claim | None
    invoice_id: str
    status: int
    is_settled: bool


Work = Callable[[Session], Effect]


async def read_mutation(call: Call, *, wait_s: int = 0) -> Mutation:
    """Read what all mutating requests have. Raises: NotJson, BodyTooLarge, InvalidInput."""
    request = call.request
    key = read_key(request.scope["headers"])
    body = parse_json(await read_body(request))
    claim = None
    if key is not None:
        route = f"{request.method} {request.url.path}"
        claim = Claim(call.caller.msn, route, key, body_hash(call.context.vault, body))
    return Mutation(body, claim, request.headers.get("if-match"), wait_s)


async def perform(call: Call, mutation: Mutation, work: Work) -> Answer:
    """Do the work once, whatever is repeated, and answer; wait for Vipps where asked to.

    Raises: what `work` raises, with nothing changed."""
    context, wait_s = call.context, mutation.wait_s
    effect = await call.writes.run(partial(_once, context, mutation, work))
    if effect.watch is None or not wait_s:
        return effect.answer
    is_settled = await until_settled(context, effect.watch, wait_s=wait_s)
    again = Again(mutation.claim, effect.watch.invoice_id, effect.answer.status, is_settled)
    return await to_thread.run_sync(_answer_again, context, again)


async def perform_long(
    call: Call,
    mutation: Mutation,
    look: Callable[[Session], None],
    act: Callable[[], Awaitable[Answer]],
    *,
    lasts: timedelta,
) -> Answer:
    """Do what does not fit into one transaction; its answer is kept afterwards.

    `look` checks first, in the transaction that takes the key, whether it may be done. The key is
    taken for as long as it `lasts`, so that a process that dies under way leaves it free again.
    Raises: what `look` and `act` raise, with the key free."""
    stored = await to_thread.run_sync(partial(_begin, call, mutation, look, lasts))
    if stored is not None:
        return stored
    try:
        answer = await act()
    except Exception:
        await to_thread.run_sync(_forget, call, mutation)
        raise
    await to_thread.run_sync(_keep, call, mutation, answer)
    return answer


def _begin(
    call: Call, mutation: Mutation, look: Callable[[Session], None], lasts: timedelta
) -> Answer | None:
    context, claim, now = call.context, mutation.claim, call.context.clock.now()
    with context.database.transaction() as session:
        if claim is not None:
            stored = claim_key(session, context.vault, claim, now=now, busy_until=now + lasts)
            if stored is not None:
                return stored
        look(session)
    return None


def _keep(call: Call, mutation: Mutation, answer: Answer) -> None:
    if mutation.claim is not None:
        with call.context.database.transaction() as session:
            keep_answer(session, call.context.vault, mutation.claim, answer, busy_until=None)


def _forget(call: Call, mutation: Mutation) -> None:
    if mutation.claim is not None:
        with call.context.database.transaction() as session:
            forget_key(session, mutation.claim)


def _once(context: Context, mutation: Mutation, work: Work, session: Session) -> Effect:
    """Do the work, or return what it was answered when it was done."""
    now, claim = context.clock.now(), mutation.claim
    if claim is not None:
        stored = claim_key(session, context.vault, claim, now=now, busy_until=None)
        if stored is not None:
            return Effect(stored)
    effect = work(session)
    if claim is not None:
        is_waiting = effect.watch is not None and mutation.wait_s > 0
        until = now + timedelta(seconds=mutation.wait_s) + _GRACE if is_waiting else None
        keep_answer(session, context.vault, claim, effect.answer, busy_until=until)
    return effect


def _answer_again(context: Context, again: Again) -> Answer:
    """Return the invoice as it is after the wait, and keep that answer instead."""
    with context.database.snapshot() as session:
        invoice = session.get_one(Invoice, again.invoice_id)
        # A problem ends the wait, too; the command may be tried again nevertheless.
        is_done = again.is_settled and not is_under_way(session, invoice)
        status = 200 if again.status == 202 and is_done else again.status
        answer = stored_invoice_answer(session, context, invoice, status=status)
    if again.claim is not None:
        with context.database.transaction() as session:
            keep_answer(session, context.vault, again.claim, answer, busy_until=None)
    return answer
