"""The loop that runs commands: claim, call, settle; any number of processes side by side."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from random import Random

import structlog
from anyio import to_thread

from service.clock import seconds_until
from service.commands.claim import LEASE_S, Claimed, claim
from service.commands.due import next_at
from service.commands.run import Ran, run
from service.commands.settle import settle
from service.context import Context
from service.errors import DatabaseAway, ServiceError
from service.group_commit import GroupCommit
from service.ledger.book import write
from service.vipps import VippsClient
from service.wake import rest

# Vipps answers in some 200 ms: enough in flight for a hundred payments a second.
IN_FLIGHT_MAX = 64
# What ends and what is decided meanwhile shares one claim, so that a burst costs few commits.
GATHER_S = 0.02
# How often to try again to store an answer while the database is away.
STORE_AGAIN_S = 1.0

log = structlog.get_logger(__name__)


class CommandWorker:
    """Runs due commands until it is told to stop."""

    def __init__(self, context: Context, client: VippsClient, *, dice: Random) -> None:
        """`dice` gives the jitter of waits."""
        self._context = context
        self._client = client
        self._dice = dice
        self._settlements: GroupCommit[Ran, bool] = GroupCommit(self._settle)
        self._under_way: set[asyncio.Task[None]] = set()
        self._stop = asyncio.Event()
        self._next_at: datetime | None = None  # when the next is due, as of the last look

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set, then finish what is in hand."""
        self._stop = stop
        listener = self._context.wake.commands.listen()
        try:
            while not stop.is_set():
                if await self._start_due():
                    await asyncio.sleep(GATHER_S)
                else:
                    await rest(
                        listener.wait, self._context.wake, stop=stop, due_in_s=self._due_in_s
                    )
        finally:
            listener.close()
            await asyncio.gather(*self._under_way, return_exceptions=True)

    def _due_in_s(self) -> float:
        return seconds_until(self._next_at, self._context.clock.now())

    async def _start_due(self) -> bool:
        """Start what is due; False where nothing was, or no more can be started now."""
        free = IN_FLIGHT_MAX - len(self._under_way)
        if free == 0:
            return False
        try:
            claimed = await to_thread.run_sync(self._claim, free)
        except DatabaseAway:
            log.warning("commands_not_claimed", reason="DatabaseAway")
            return False
        except Exception:
            # The worker boundary: one bad row must not end the loop for all others.
            log.exception("commands_not_claimed")
            return False
        for one in claimed:
            task = asyncio.create_task(self._run_one(one))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
        return bool(claimed)

    def _claim(self, limit: int) -> list[Claimed]:
        clock = self._context.clock
        self._next_at = clock.now()  # where the look fails
        with self._context.database.transaction() as session:
            claimed = claim(session, self._context.vault, clock, limit=limit)
            if not claimed:
                self._next_at = next_at(session)
            return claimed

    async def _run_one(self, claimed: Claimed) -> None:
        try:
            ran = await self._call(claimed)
            await self._store(ran)
        except ServiceError as error:
            # The lease stays; when it ends the same key is tried again.
            log.warning(
                "command_not_settled",
                request_id=claimed.cause.request_id,
                command=claimed.id,
                reason=type(error).__name__,
            )
        except Exception:
            log.exception("command_failed", command=claimed.id)
        else:
            log.info(
                "command_ran",
                request_id=claimed.cause.request_id,
                command=claimed.id,
                kind=claimed.kind,
                invoice=claimed.invoice_id,
                reference=claimed.reference,
                status=ran.answer.status,
                code=ran.answer.code,
                then=ran.verdict.then,
            )
        self._context.wake.commands.set()

    async def _call(self, claimed: Claimed) -> Ran:
        """Make the command's calls; what Vipps said is counted, and part of the trace."""
        context = self._context
        parent = claimed.cause.traceparent
        with context.traces.span(f"vipps {claimed.kind}", kind="client", parent=parent) as span:
            ran = await run(
                self._client,
                claimed,
                base_url=context.settings.upstream_url,
                dice=self._dice,
                now=context.clock.now(),
            )
            answer = ran.answer
            span.note("command", claimed.id)
            span.note("invoice", claimed.invoice_id)
            span.note("status", answer.status or 0)
        context.observed.vipps_answered(
            claimed.kind,
            status=answer.status,
            code=answer.code or "",
            took_s=answer.latency_ms / 1000,
        )
        return ran

    async def _store(self, ran: Ran) -> None:
        """Settle a command; keep Vipps's answer while the database is away and the lease lasts.

        Raises: DatabaseAway, NotStored, Overloaded."""
        for _ in range(int(LEASE_S / STORE_AGAIN_S)):
            try:
                await self._settlements.submit(ran)
                return
            except DatabaseAway:
                if self._stop.is_set():
                    raise
                log.warning("answer_kept", command=ran.claimed.id, reason="DatabaseAway")
                await asyncio.sleep(STORE_AGAIN_S)
        raise DatabaseAway

    def _settle(self, batch: Sequence[Ran]) -> Sequence[bool]:
        are_ours = write(self._context, lambda book: settle(book, batch))
        if any(ran.is_of_a_lost for ran in batch):
            self._context.wake.recovery.set()
        return are_ours
