"""Sending webhooks: in order per registration, blocked per payment, never all at once.

A lane holds one payment's deliveries to one registration; only its head may go out.
Heads wait in one heap until they are due, then line up per registration, oldest event
first. One shared pool bounds what is in flight, whatever is pending. Whatever may go out
goes at once, when it lines up or when another's place becomes free.
"""

import asyncio
import heapq
import logging
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from functools import partial

from service.sandbox.deliveries import Delivery
from service.sandbox.registrations import Registration, answered, failed
from service.sandbox.schedule import is_given_up, next_attempt_at
from service.sandbox.world import World

# Tries one attempt; says whether the answer was 200 in time.
Send = Callable[[Registration, bytes], Awaitable[bool]]

# After so many a registration's turn is over, so that the loop sees what else there is.
_IN_A_ROW_MAX = 50

_LOG = logging.getLogger("betalbar.sandbox")


def report_crash(task: asyncio.Task[None]) -> None:
    """Log the error that ended a task in the background, if one did."""
    if not task.cancelled() and (error := task.exception()) is not None:
        _LOG.error("the sandbox lost a task", exc_info=error)


class Dispatcher:
    """Get every pending delivery out, or give it up as Vipps would."""

    def __init__(self, world: World, send: Send) -> None:
        self._world = world
        self._send = send
        self._lanes: dict[tuple[str, ...], deque[Delivery]] = {}
        self._waiting: list[tuple[datetime, int, Delivery]] = []
        self._ready: dict[str, list[tuple[int, Delivery]]] = {}
        self._busy: Counter[str] = Counter()
        self._attempts: set[asyncio.Task[None]] = set()
        self._is_over = False
        # Said when `run` has to look at the clock, or at what is left to write.
        self._news = asyncio.Event()
        for delivery in world.deliveries.rows.values():
            self.add(delivery)

    def add(self, delivery: Delivery) -> None:
        """Line up a stored delivery behind those of its lane."""
        name = delivery.lane
        lane = self._lanes.get(name)
        if lane is None:
            self._lanes[name] = deque((delivery,))
            self._wait(delivery)
        else:
            lane.append(delivery)

    async def run(self) -> None:
        """Deliver until cancelled; what is in flight then is tried again after a restart."""
        try:
            while True:
                self._news.clear()
                self._ripen()
                if not self._attempts:
                    self._world.store.settle()
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._idle_s()):
                        await self._news.wait()
        finally:
            self._is_over = True
            for attempt in self._attempts:
                attempt.cancel()
            await asyncio.gather(*self._attempts, return_exceptions=True)

    def _wait(self, delivery: Delivery) -> None:
        if delivery.due_at <= self._world.clock.real_now():
            self._line_up(delivery)
            return
        heapq.heappush(self._waiting, (delivery.due_at, delivery.number, delivery))
        if self._waiting[0][2] is delivery:
            self._news.set()

    def _ripen(self) -> None:
        if not self._waiting:
            return
        now = self._world.clock.real_now()
        while self._waiting and self._waiting[0][0] <= now:
            self._line_up(heapq.heappop(self._waiting)[2])

    def _idle_s(self) -> float | None:
        if not self._waiting:
            return None
        wait = self._waiting[0][0] - self._world.clock.real_now()
        return max(wait.total_seconds(), 0.0)

    def _line_up(self, delivery: Delivery) -> None:
        registration_id = delivery.registration_id
        line = self._ready.setdefault(registration_id, [])
        heapq.heappush(line, (delivery.number, delivery))
        if self._has_room and self._may_start(registration_id):
            self._start(registration_id)

    @property
    def _has_room(self) -> bool:
        in_flight_max = self._world.settings.deliveries_in_flight_max
        return len(self._attempts) < in_flight_max and not self._is_over

    def _may_start(self, registration_id: str) -> bool:
        most = self._world.settings.deliveries_per_registration_max
        return self._busy[registration_id] < most

    def _start_attempts(self) -> None:
        started = True
        while started and self._has_room:
            started = False
            # One from each registration in turn, so that a busy one starves nobody.
            for registration_id in list(self._ready):
                if self._has_room and self._may_start(registration_id):
                    self._start(registration_id)
                    started = True

    def _start(self, registration_id: str) -> None:
        self._busy[registration_id] += 1
        first = self._next(registration_id)
        attempt = asyncio.create_task(self._work(registration_id, first))
        self._attempts.add(attempt)
        # Only the end of the task frees its place: earlier, the loop would count it twice.
        attempt.add_done_callback(partial(self._ended, registration_id))

    def _next(self, registration_id: str) -> Delivery:
        line = self._ready[registration_id]
        _, delivery = heapq.heappop(line)
        if not line:
            del self._ready[registration_id]
        return delivery

    async def _work(self, registration_id: str, delivery: Delivery) -> None:
        # Straight on to the next one: by way of the loop, each would wait several rounds.
        for turn in range(1, _IN_A_ROW_MAX + 1):
            await self._attempt(delivery)
            self._ripen()
            is_over = turn == _IN_A_ROW_MAX or self._others_wait(registration_id)
            if is_over or not self._ready.get(registration_id):
                return
            delivery = self._next(registration_id)

    def _others_wait(self, registration_id: str) -> bool:
        is_full = len(self._attempts) >= self._world.settings.deliveries_in_flight_max
        return is_full and any(other != registration_id for other in self._ready)

    async def _attempt(self, delivery: Delivery) -> None:
        # Nobody may hear of what a killed process would not know any more.
        await self._world.store.kept()
        registration = self._world.registrations.get(delivery.registration_id)
        if registration is None:
            self._drop(delivery)
        elif await self._send(registration, delivery.body.encode()):
            self._succeed(delivery)
        else:
            self._fail(delivery)

    def _ended(self, registration_id: str, attempt: asyncio.Task[None]) -> None:
        self._attempts.discard(attempt)
        self._busy[registration_id] -= 1
        report_crash(attempt)
        self._start_attempts()
        if not self._attempts:
            self._news.set()

    def _succeed(self, delivery: Delivery) -> None:
        # The registration may have been deleted meanwhile; then only the row has to go. Found
        # again by the next process, it would be sent twice, as Vipps may do at any time.
        self._world.store.delete_late(self._world.deliveries, delivery.key)
        registration = self._world.registrations.get(delivery.registration_id)
        if registration is not None and registration.failing_since is not None:
            now_well = answered(registration)
            self._world.save(self._world.registrations, registration.id, row=now_well)
        self._advance(delivery)

    def _fail(self, delivery: Delivery) -> None:
        now, scale = self._world.clock.real_now(), self._world.settings.retry_scale
        registration = self._world.registrations.get(delivery.registration_id)
        if registration is None:
            self._drop(delivery)
            return
        failing = failed(registration, now)
        if failing.failing_since and is_given_up(failing.failing_since, now, scale=scale):
            self._delete_registration(registration)
            self._drop(delivery)
            return
        if failing is not registration:
            self._world.save(self._world.registrations, failing.id, row=failing)
        self._retry(delivery, now)

    def _retry(self, delivery: Delivery, now: datetime) -> None:
        attempts, first_at = delivery.attempts + 1, delivery.first_at or now
        scale = self._world.settings.retry_scale
        due_at = next_attempt_at(attempts, now, first_at=first_at, scale=scale)
        if due_at is None:
            self._drop(delivery)
            return
        again = replace(delivery, attempts=attempts, first_at=first_at, due_at=due_at)
        self._world.save(self._world.deliveries, again.key, row=again)
        self._lanes[delivery.lane][0] = again
        self._wait(again)

    def _delete_registration(self, registration: Registration) -> None:
        transaction = self._world.store.begin()
        transaction.delete(self._world.registrations, registration.id)
        transaction.commit()

    def _drop(self, delivery: Delivery) -> None:
        transaction = self._world.store.begin()
        transaction.delete(self._world.deliveries, delivery.key)
        transaction.commit()
        self._advance(delivery)

    def _advance(self, delivery: Delivery) -> None:
        lane = self._lanes[delivery.lane]
        lane.popleft()
        if lane:
            self._wait(lane[0])
        else:
            del self._lanes[delivery.lane]
