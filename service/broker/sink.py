"""The loop that publishes to the broker: claim a feed, publish in order, store how far.

A position moves only past what JetStream has acknowledged. Killed in between, the same events
are published again under the same ids, and JetStream drops those it has.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from random import Random
from time import monotonic
from typing import Any

import structlog
from anyio import to_thread

from service.broker import positions
from service.broker.cloud_events import CONTENT_TYPE, Told, cloud_event, source_of, subject_of
from service.broker.link import BrokerFailed, Link
from service.broker.positions import Held
from service.clock import seconds_until
from service.context import Context
from service.errors import DatabaseAway
from service.wake import rest

# Events by one reading: 2 MB at most, and what a kill can have published again.
BATCH_MAX = 100
# Half of the lease: with the last answer's time it ends well before somebody else may begin.
PUBLISH_FOR_S = 15.0

log = structlog.get_logger(__name__)


class BrokerSink:
    """Publishes every sales unit's feed until it is told to stop."""

    def __init__(self, context: Context, *, dice: Random) -> None:
        """`dice` spreads the waits after failures; nothing is connected yet."""
        self._context = context
        self._dice = dice
        self._link = _new_link(context)
        self._publishing: set[asyncio.Task[None]] = set()
        self._stop = asyncio.Event()
        self._failures = 0
        self._connect_at = 0.0
        self._next_at: datetime | None = None  # when the next is due, as of the last look

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set; then finish the event in hand of each feed."""
        self._stop = stop
        wake = self._context.wake
        listener = wake.events.listen()
        try:
            while not stop.is_set():
                await self._guarded(self._round())
                await rest(listener.wait, wake, stop=stop, due_in_s=self._due_in_s)
        finally:
            listener.close()
            await asyncio.gather(*self._publishing, return_exceptions=True)
            await self._link.close()

    def _due_in_s(self) -> float:
        return seconds_until(self._next_at, self._context.clock.now())

    async def _round(self) -> None:
        """Connect where we are not, and start on every feed that is due."""
        self._next_at = self._context.clock.now()  # where it comes to nothing
        if not self._link.is_open and not await self._connect():
            return
        for held in await to_thread.run_sync(self._claim):
            task = asyncio.create_task(self._guarded(self._publish(held)))
            self._publishing.add(task)
            task.add_done_callback(self._publishing.discard)

    async def _connect(self) -> bool:
        """Make a new connection, unless the last try was too short a time ago."""
        if monotonic() < self._connect_at:
            return False
        await self._link.close()
        self._link = _new_link(self._context)
        try:
            await self._link.open()
        except BrokerFailed as error:
            await self._link.close()
            wait_s = positions.put_off_s(self._failures, self._dice.random())
            self._failures, self._connect_at = self._failures + 1, monotonic() + wait_s
            log.warning("broker_away", reason=error.reason, attempt=self._failures)
            await to_thread.run_sync(self._note_away, error.reason)
            return False
        self._failures = 0
        log.info("broker_connected")
        return True

    def _claim(self) -> list[Held]:
        clock = self._context.clock
        with self._context.database.snapshot() as session:
            now = clock.shared_now(session)
            if not positions.is_any_due(session, now):
                self._next_at = positions.next_at(session)
                return []
        with self._context.database.transaction() as session:
            return positions.claim(session, now)

    async def _publish(self, held: Held) -> None:
        """Publish a feed to its end, or until something is in the way."""
        try:
            while True:
                batch = await to_thread.run_sync(self._read, held)
                held = await self._publish_batch(held, batch)
                goes_on = await to_thread.run_sync(self._keep, held)
                if held.was_failing:
                    log.info("published_again", sales_unit=held.msn, position=held.position)
                    held = replace(held, was_failing=False)
                if not goes_on:
                    return
        except _Failed as failed:
            await to_thread.run_sync(self._put_off, failed.held, failed.reason)

    def _read(self, held: Held) -> list[tuple[int, Told]]:
        with self._context.database.snapshot() as session:
            return positions.read_events(session, self._context.vault, held, BATCH_MAX)

    async def _publish_batch(self, held: Held, batch: Sequence[tuple[int, Told]]) -> Held:
        """Publish one after the other, each acknowledged before the next; return how far.

        One after the other, since a stream that is nearly full may refuse one event and take the
        smaller next. Raises: _Failed."""
        source = source_of(self._context.settings.base_url, held.msn)
        until = monotonic() + PUBLISH_FOR_S
        for position, event in batch:
            if monotonic() > until or self._stop.is_set():
                return held
            subject, body = subject_of(held.msn, event.type), cloud_event(event, source)
            try:
                await self._link.publish(subject, body, key=event.id, content_type=CONTENT_TYPE)
            except BrokerFailed as error:
                raise _Failed(held, error.reason) from error
            held = replace(held, position=position)
        return held

    def _keep(self, held: Held) -> bool:
        """Store how far we are; tell whether there is more to do, and it is still ours."""
        with self._context.database.transaction() as session:
            if not positions.advance(session, held, self._context.clock.shared_now(session)):
                log.warning("broker_lease_lost", sales_unit=held.msn, position=held.position)
                return False
            if self._stop.is_set():
                positions.let_go(session, held)
                return False
            return not positions.let_go_at_end(session, held)

    def _put_off(self, held: Held, reason: str) -> None:
        log.warning("not_published", sales_unit=held.msn, reason=reason, position=held.position)
        with self._context.database.transaction() as session:
            now = self._next_at = self._context.clock.shared_now(session)
            positions.put_off(session, held, reason, now, jitter=self._dice.random())

    def _note_away(self, reason: str) -> None:
        with self._context.database.transaction() as session:
            positions.note_away(session, reason, self._context.clock.shared_now(session))

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        """Do it; what goes wrong is logged, and leases end by themselves."""
        try:
            await work
        except DatabaseAway:
            log.warning("not_published", reason="DatabaseAway")
        except Exception:
            # The worker boundary: one feed must not end the loop for all others.
            log.exception("not_published")


def _new_link(context: Context) -> Link:
    settings = context.settings
    credentials = settings.broker_credentials
    return Link(settings.broker_url, Path(credentials) if credentials else None)


class _Failed(Exception):
    """The broker did not take the event behind `held.position`."""

    def __init__(self, held: Held, reason: str) -> None:
        super().__init__(reason)
        self.held = held
        self.reason = reason
