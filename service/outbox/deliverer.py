"""The loop that tells subscribers: fan out, claim, send with no transaction open, settle.

Everything it is about to do is in the database; what it holds in memory is only what it sends
right now. Killed anywhere, the leases end and the same bytes go out again under the same id.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import TypeVar

import anyio.to_thread
import structlog

from service.context import Context
from service.errors import DatabaseAway
from service.outbox.deliveries import Claimed, Room, claim
from service.outbox.destinations import PLACES_MAX, PLACES_OF_TROUBLED_MAX
from service.outbox.egress import Egress
from service.outbox.fanout import fan_out
from service.outbox.ping import ping_payload
from service.outbox.places import SLOW_S, Places
from service.outbox.settling import Sent, settle
from service.outbox.signing import Letter, post_signed
from service.vault import Vault
from service.wake import Signal

log = structlog.get_logger(__name__)

# Longer than an attempt (15 s) by enough for a slow commit; after a kill, what was in hand
# waits this long.
LEASE_S = 30.0
# Work that no signal of this process announced: another process's, retries, ended leases.
LOOK_S = 1.0
# Of the five seconds that the workers have at a stop, one remains for the commits.
FINISH_S = 4.0
# Events per transaction: with 25 subscriptions 5 000 rows, a few hundredths of a second.
_FAN_OUT_MAX = 200
# A listener wants an end; what it then wakes for nothing finds nothing.
_HEARING_S = 3600.0

T = TypeVar("T")


class Deliverer:
    """One process's deliverer; `run` it as a task."""

    def __init__(self, context: Context, egress: Egress) -> None:
        """Take what every part gets, and the way out."""
        self._context = context
        self._egress = egress
        self._stirred = asyncio.Event()
        self._sending: set[asyncio.Task[None]] = set()
        self._sent: list[Sent] = []
        # A delivery leaves when it is settled, not when it is answered.
        self._places = Places()
        self._has_feed_grown = True
        self._look_at = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until `stop` is set; then finish what is in hand, within ten seconds."""
        wake = self._context.wake
        ears = [
            asyncio.create_task(self._hear(wake.events, self._note_news)),
            asyncio.create_task(self._hear(wake.deliveries, self._stirred.set)),
            asyncio.create_task(self._hear_stop(stop)),
        ]
        try:
            while not stop.is_set():
                self._stirred.clear()
                if not await self._round():
                    await self._rest()
            await self._finish()
        finally:
            await _cancel([*ears, *self._sending])

    async def _round(self) -> bool:
        """Do what can be done at once; tell whether there may be more of it."""
        await self._settle()
        fanned_out = await self._fan_out_if_due()
        nothing: list[Claimed] = []
        room = self._places.room(monotonic())
        claimed = await self._guarded(partial(self._claim, room), otherwise=nothing)
        for delivery in claimed:
            self._places.take(delivery, monotonic())
            task = asyncio.create_task(self._send(delivery))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)
        return fanned_out > 0 or len(claimed) > 0

    async def _fan_out_if_due(self) -> int:
        """Fan out when the feed has grown or a second has passed, not after every answer."""
        if not self._has_feed_grown and monotonic() < self._look_at:
            return 0
        self._has_feed_grown, self._look_at = False, monotonic() + LOOK_S
        events = await self._guarded(self._fan_out, otherwise=0)
        self._has_feed_grown |= events > 0  # there may be more
        return events

    def _fan_out(self) -> int:
        with self._context.database.transaction() as session:
            return fan_out(session, now=self._context.clock.now(), limit=_FAN_OUT_MAX)

    def _claim(self, room: Room) -> list[Claimed]:
        with self._context.database.transaction() as session:
            return claim(session, now=self._context.clock.now(), lease_s=LEASE_S, room=room)

    async def _send(self, delivery: Claimed) -> None:
        at, vault = self._context.clock.now(), self._context.vault
        try:
            letter = _letter(delivery, vault)
            share = PLACES_MAX if delivery.is_sound else PLACES_OF_TROUBLED_MAX
            reply = await post_signed(self._egress, vault, letter, at=at, places_max=share)
            self._sent.append(Sent(delivery, reply, at))
            is_well = reply.is_accepted and reply.latency_ms < SLOW_S * 1000
            self._places.learn(delivery.subscription_id, is_well=is_well)
        except Exception:
            log.exception("delivery_failed", delivery=delivery.id)
            self._places.leave([delivery])
        finally:
            self._stirred.set()

    async def _settle(self) -> None:
        """Store what has been answered; while the database is away, keep it."""
        batch = self._sent[:]
        if not batch:
            return
        try:
            await anyio.to_thread.run_sync(self._store, batch)
        except DatabaseAway as error:
            log.warning("database_away", reason=str(error))
            return
        except Exception:
            log.exception("settling_failed", deliveries=len(batch))
            await self._settle_one_by_one(batch)
        del self._sent[: len(batch)]
        self._places.leave([each.delivery for each in batch])

    async def _settle_one_by_one(self, batch: Sequence[Sent]) -> None:
        """Store those of a failed batch that can be, so that one does not cost the others."""
        for each in batch:
            await self._guarded(partial(self._store, [each]), otherwise=None)

    def _store(self, batch: Sequence[Sent]) -> None:
        context = self._context
        with context.database.transaction() as session:
            settled = settle(session, context.vault, batch, now=context.clock.now())
        if settled.has_feed_grown:
            context.wake.events.set()

    async def _guarded(self, step: Callable[[], T], *, otherwise: T) -> T:
        """Run one transaction in a thread; log what it raises, and go on without it."""
        try:
            return await anyio.to_thread.run_sync(step)
        except DatabaseAway as error:
            log.warning("database_away", reason=str(error))
        except Exception:
            log.exception("deliverer_step_failed")
        return otherwise

    async def _rest(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_S):
                await self._stirred.wait()

    def _note_news(self) -> None:
        self._has_feed_grown = True
        self._stirred.set()

    async def _hear(self, signal: Signal, react: Callable[[], None]) -> None:
        listener = signal.listen()
        try:
            while True:
                await listener.wait(_HEARING_S)
                react()
        finally:
            listener.close()

    async def _hear_stop(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._stirred.set()

    async def _finish(self) -> None:
        if self._sending:
            await asyncio.wait(self._sending, timeout=FINISH_S)
        await self._settle()


def _letter(delivery: Claimed, vault: Vault) -> Letter:
    """Open what is told; the bytes are the same on every attempt."""
    if delivery.is_ping:
        body = ping_payload(delivery.event_id, at=delivery.created_at)
    else:
        body = vault.open(delivery.payload, place=f"event:{delivery.event_id}:payload")
    return Letter(
        subscription_id=delivery.subscription_id,
        sealed_url=delivery.url,
        sealed_secrets=delivery.secrets,
        event_id=delivery.event_id,
        body=body,
    )


async def _cancel(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
