"""The loop that runs commands: begins by itself, survives trouble, ends what is in hand."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from random import Random

import httpx
import pytest
from sqlalchemy import event, exc

from service.clock import Clock, real_now
from service.commands.worker import CommandWorker
from service.sandbox import SandboxSettings, create_app
from service.store.db import Database
from service.store.tables import Command
from service.vipps import VippsClient, new_http
from tests.builders import BASE_URL, Desk, a_desk
from tests.fake_merchant import until

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def _working(desk: Desk) -> AsyncIterator[None]:
    """Run a worker against a sandbox beside the block."""
    context = replace(desk.context, clock=Clock())
    context.wake.bind()
    transport = httpx.ASGITransport(create_app(SandboxSettings(public_url=BASE_URL)))
    stop = asyncio.Event()
    async with new_http(transport) as http:
        worker = CommandWorker(context, VippsClient(BASE_URL, http), dice=Random(1))
        running = asyncio.create_task(worker.run(stop))
        try:
            yield
        finally:
            stop.set()
            context.wake.commands.hear()
            await running


def _a_desk_of_today(database: Database) -> Desk:
    """Return a ledger at the time of the sandbox, which is the machine's."""
    desk = a_desk(database)
    desk.times.append(real_now())
    return desk


def _statuses(desk: Desk, kind: str) -> list[str]:
    return [c.status for c in desk.all(Command, Command.kind == kind)]


async def test_worker_runs_what_is_decided(database: Database) -> None:
    """An invoice that is created is asked for without anybody's help."""
    desk = _a_desk_of_today(database)
    async with _working(desk):
        await asyncio.to_thread(desk.create)
        await until(lambda: _statuses(desk, "create_payment") == ["done"])

    assert desk.invoice().state == "pushed"


async def test_worker_goes_on_after_the_database_was_away(database: Database) -> None:
    """A database that comes back finds the worker waiting."""
    desk = _a_desk_of_today(database)
    tries: list[int] = []

    def refuse(_connection: object) -> None:
        tries.append(1)
        raise exc.OperationalError("BEGIN", None, Exception("gone"))

    event.listen(database._writer, "begin", refuse)
    async with _working(desk):
        await until(lambda: bool(tries))
        event.remove(database._writer, "begin", refuse)
        await asyncio.to_thread(desk.create)
        await until(lambda: _statuses(desk, "create_payment") == ["done"])

    assert desk.invoice().state == "pushed"


async def test_worker_that_is_stopped_ends_what_is_in_hand(database: Database) -> None:
    """A restart leaves no command half settled."""
    desk = _a_desk_of_today(database)
    desk.create()

    async with _working(desk):
        await until(lambda: "waiting" not in _statuses(desk, "attach_category"))

    assert "running" not in {c.status for c in desk.all(Command)}
