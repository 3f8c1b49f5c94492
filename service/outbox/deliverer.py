"""The loop that tells subscribers: fan out, claim, send with no transaction open, settle.

Everything it is about to do is in the database; what it holds in memory is only what it sends
right now. Killed anywhere, the leases end and the same bytes go out again under the same id.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from enum import Enum, auto
from functools import partial
from itertools import count
from time import monotonic
from typing import TypeVar

import anyio.to_thread
import structlog

from service.clock import seconds_until
from service.context import Context
from service.errors import DatabaseAway
from service.outbox.deliveries import Claimed, Room, claim
from service.outbox.destinations import PLACES_MAX, PLACES_OF_TROUBLED_MAX
from service.outbox.egress import Egress
from service.outbox.fanout import fan_out
from service.outbox.noting import note_answers, traced
from service.outbox.pace import Pace
from service.outbox.ping import ping_payload
from service.outbox.places import LEASE_S, SLOW_S, TROUBLED_PER_LOOK, Places
from service.outbox.readiness import next_at
from service.outbox.settling import Sent, give_back, settle
from service.outbox.signing import Letter, post_signed
from service.vault import Vault
from service.wake import LOOK_S, Signal, is_set_within, rest

log = structlog.get_logger(__name__)

# Between the tries of those that fail, which are claimed by the dozen: begun all at once they
# would take the interpreter from everybody else for hundredths of a second.
_BETWEEN_TROUBLED_S = 0.002
# A round costs some milliseconds, for one answer or for a hundred.
GATHER_S = 0.02
# Of the five seconds that the workers have at a stop, one remains for the commits.
FINISH_S = 4.0
# Events per transaction: with 25 subscriptions 5 000 rows, a few hundredths of a second.
_FAN_OUT_MAX = 200
# A listener wants an end; what it then wakes for nothing finds nothing.
_HEARING_S = 3600.0

T = TypeVar("T")


class _Turn(Enum):
    """What is done for those that fail: their answers are stored, or their next tries claimed."""

    SETTLE = auto()
    CLAIM = auto()


class Deliverer:
    """One process's deliverer; `run` it as a task."""

    def __init__(self, context: Context, egress: Egress) -> None:
        """Take what every part gets, and the way out."""
        self._context = context
        self._egress = egress
        self._stirred = asyncio.Event()
        self._sending: set[asyncio.Task[None]] = set()
        self._sent: list[Sent] = []
        self._places = Places()
        self._has_feed_grown = True
        self._look_at = 0.0
        self._pace_of_troubled = Pace()
        self._last_turn = _Turn.CLAIM
        self._next_at: datetime | None = None  # when the next is due, as of the last look

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
                has_more = await self._round()
                if self._places.has_waiting:
                    await self._gather()
                elif not has_more:
                    await self._rest()
            await self._finish()
        finally:
            await _cancel([*ears, *self._sending])

    async def _round(self) -> bool:
        """Do what can be done at once; tell whether there may be more of it."""
        begun = monotonic()
        turn = self._turn_of_troubled(begun)
        troubled_max = TROUBLED_PER_LOOK if turn is _Turn.SETTLE else 0
        failed = await self._settle(troubled_max=troubled_max)
        room = self._places.room(monotonic())
        await self._give_back()
        if turn is not _Turn.CLAIM:
            room = replace(room, troubled=0)
        nothing: tuple[int, list[Claimed]] = (0, [])
        has_grown = self._is_feed_to_be_read()
        events, claimed = await self._guarded(
            partial(self._find, room, with_news=has_grown), otherwise=nothing
        )
        if turn is not None:
            tries = sum(not each.is_sound for each in claimed)
            self._pace_of_troubled.looked(begun, monotonic(), claimed=tries, failed=failed)
        self._has_feed_grown |= events > 0  # there may be more
        self._places.take(claimed, monotonic())
        self._start()
        return events > 0 or len(claimed) > 0

    def _turn_of_troubled(self, at: float) -> "_Turn | None":
        """Tell what is done now for those that fail: never two things in one round, since who is
        well waits for the whole of it."""
        if not self._pace_of_troubled.is_due(at):
            return None
        is_settled_now = self._last_turn is not _Turn.SETTLE and any(
            not each.is_urgent for each in self._sent
        )
        self._last_turn = _Turn.SETTLE if is_settled_now else _Turn.CLAIM
        return self._last_turn

    def _is_feed_to_be_read(self) -> bool:
        """Tell whether the feed has grown or a second has passed; not after every answer."""
        if not self._has_feed_grown and monotonic() < self._look_at:
            return False
        self._has_feed_grown, self._look_at = False, monotonic() + LOOK_S
        return True

    def _find(self, room: Room, *, with_news: bool) -> tuple[int, list[Claimed]]:
        """Fan out what is new, and claim what may go; return how many events, and what is ours."""
        clock = self._context.clock
        self._next_at = clock.now()
        with self._context.database.transaction() as session:
            now = clock.shared_now(session)
            events = fan_out(session, now=now, limit=_FAN_OUT_MAX) if with_news else 0
            claimed = claim(session, now=now, lease_s=LEASE_S, room=room)
            if not events and not claimed:
                self._next_at = next_at(session)
            return events, claimed

    def _start(self) -> None:
        """Send what there is a place for."""
        at, waits = monotonic(), count(0.0, _BETWEEN_TROUBLED_S)
        for delivery in self._places.start(at):
            if delivery.is_sound:
                self._pace_of_troubled.met_others(at)
            wait_s = 0.0 if delivery.is_sound else next(waits)
            task = asyncio.create_task(self._send(delivery, wait_s))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    async def _send(self, delivery: Claimed, wait_s: float) -> None:
        if wait_s:
            await asyncio.sleep(wait_s)
        at, vault = self._context.clock.now(), self._context.vault
        try:
            letter = _letter(delivery, vault)
            share = PLACES_MAX if delivery.is_sound else PLACES_OF_TROUBLED_MAX
            with traced(self._context, delivery) as span:
                reply = await post_signed(self._egress, vault, letter, at=at, places_max=share)
                span.note("status", reply.status or 0)
        except Exception:
            log.exception("delivery_failed", delivery=delivery.id)
            self._places.give_up(delivery)
        else:
            sent = Sent(delivery, reply, at)
            self._sent.append(sent)
            is_well = reply.is_accepted and reply.latency_ms < SLOW_S * 1000
            self._places.answered(delivery, is_well=is_well)
            if sent.is_urgent:
                self._stirred.set()
        finally:
            self._start()

    async def _settle(self, *, troubled_max: int | None) -> int:
        """Store what has been answered; while the database is away, keep it.

        Of those that had failed before and have failed again at most so many (None: all); return
        how many they were."""
        others = [each for each in self._sent if not each.is_urgent][:troubled_max]
        batch = [*(each for each in self._sent if each.is_urgent), *others]
        if not batch:
            return 0
        try:
            await anyio.to_thread.run_sync(self._store, batch)
        except DatabaseAway as error:
            log.warning("database_away", reason=str(error))
            return 0
        except Exception:
            log.exception("settling_failed", deliveries=len(batch))
            await self._settle_one_by_one(batch)
        stored = set(map(id, batch))
        self._sent = [each for each in self._sent if id(each) not in stored]
        self._places.settled([each.delivery for each in batch])
        return len(others)

    async def _give_back(self, *, everything: bool = False) -> None:
        """Let go of what is not sent after all; where that fails, its leases end."""
        if returned := self._places.give_back(everything=everything):
            await self._guarded(partial(self._let_go, returned), otherwise=None)

    def _let_go(self, returned: Sequence[Claimed]) -> None:
        with self._context.database.transaction() as session:
            give_back(session, returned, now=self._context.clock.shared_now(session))

    async def _settle_one_by_one(self, batch: Sequence[Sent]) -> None:
        """Store those of a failed batch that can be, so that one does not cost the others."""
        for each in batch:
            await self._guarded(partial(self._store, [each]), otherwise=None)

    def _store(self, batch: Sequence[Sent]) -> None:
        context = self._context
        with context.database.transaction() as session:
            settled = settle(session, context.vault, batch, now=context.clock.shared_now(session))
        note_answers(context, batch)
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
        hears = partial(is_set_within, self._stirred)
        if self._sent or self._sending:
            await hears(min(self._pace_of_troubled.rest_s(monotonic()), LOOK_S))
        else:
            await rest(hears, self._context.wake, stop=self._stirred, due_in_s=self._due_in_s)

    def _due_in_s(self) -> float:
        return seconds_until(self._next_at, self._context.clock.now())

    async def _gather(self) -> None:
        """Let answers gather while there is enough to send: nothing waits for their commit."""
        await asyncio.sleep(GATHER_S)
        self._start()

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
        await self._give_back(everything=True)
        if self._sending:
            await asyncio.wait(self._sending, timeout=FINISH_S)
        await self._settle(troubled_max=None)


def _letter(delivery: Claimed, vault: Vault) -> Letter:
    """Open what is told; the bytes are the same on every attempt."""
    if delivery.pinged_at is not None:
        body = ping_payload(delivery.event_id, at=delivery.pinged_at)
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
