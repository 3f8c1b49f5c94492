"""The composition root: the one place where the parts are made and put together."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from random import SystemRandom

import sqlalchemy as sa
import structlog
from anyio import to_thread
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import BaseRoute, Route

from service.api.contract.serving import asset_route
from service.api.routes import api_routes, exception_handlers, probe_routes
from service.api.running import Running
from service.cause import RequestIds
from service.clock import Clock
from service.clockwork.attendant import Attendant
from service.clockwork.cleaning import Cleaner
from service.clockwork.jumps import ClockWatch
from service.clockwork.registrations import RegistrationKeeper
from service.commands.recovering import Recoverer
from service.commands.worker import CommandWorker
from service.console import Console, Outside
from service.context import Context
from service.door import Admission
from service.errors import ServiceError
from service.inbox.receiver import Receiver
from service.inbox.registering import register
from service.neighbours import Neighbours
from service.opening import open_context
from service.outbox.deliverer import Deliverer
from service.outbox.egress import open_egress
from service.pages.routes import page_routes
from service.sandbox.app import Sandbox, create_sandbox
from service.sandbox.settings import SandboxSettings
from service.settings import Settings
from service.staff.users import ensure_demo_user
from service.stopping import told_at_stop
from service.store.leases import end_leases_of_the_dead
from service.vipps import VippsClient, new_http

# Of the ten seconds that a stop may take, the HTTP server has had three (service/cli/serving.py).
# A call that is cut off then is made again, under the same key, by the next process.
FINISH_WITHIN_S = 5.0
# What is not said to the others by then they find by themselves.
_SAY_WITHIN_S = 0.5
# The server listens a moment after the start: until then registering can't succeed.
REGISTER_AGAIN_S = 0.5

log = structlog.get_logger(__name__)


def create_app(settings: Settings, *, has_worker: bool = True) -> Starlette:
    """Return the whole service as one ASGI application. Raises: as `open_context`."""
    sandbox = _built_in_sandbox(settings) if settings.has_built_in_sandbox else None
    clock = Clock(offset=lambda: sandbox.clock.offset) if sandbox else Clock()
    context = open_context(settings, clock=clock)
    if sandbox is not None:
        with context.database.transaction() as session:
            ensure_demo_user(session, context.vault, settings.msn, now=clock.now())
    receiver = Receiver(context)
    running = Running(outcomes=receiver.outcomes, refusals=receiver.refused)
    outside = Outside(sandbox=sandbox)
    console = Console(context, outside)
    running.at_stop.append(console.end)
    routes: list[BaseRoute] = [
        Route("/webhooks/vipps/{msn}", receiver),
        *api_routes(context, running),
        asset_route(),
        *console.routes,
        *page_routes(context),
        *(sandbox.routes if sandbox else ()),
    ]

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            stack.callback(context.database.dispose)
            stack.push_async_callback(to_thread.run_sync, context.traces.close)
            stack.enter_context(told_at_stop(running.stop))
            if sandbox is not None:
                await stack.enter_async_context(sandbox.run())
            stack.push_async_callback(receiver.drain)
            await stack.enter_async_context(
                working(context, running, outside, has_worker=has_worker)
            )
            yield

    app = Starlette(
        routes=routes,
        lifespan=lifespan,
        exception_handlers=exception_handlers(),
        middleware=[Middleware(Admission), Middleware(RequestIds)],
    )
    app.state.context = context
    return app


@asynccontextmanager
async def working(
    context: Context, running: Running, outside: Outside, *, has_worker: bool = True
) -> AsyncIterator[None]:
    """Run the workers beside the block; at its end they finish what is in hand."""
    context.wake.bind()
    stop = asyncio.Event()
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(new_http())
        client = VippsClient(context.settings.upstream_url, http)
        egress = await stack.enter_async_context(
            open_egress(allow=context.settings.subscriber_allow)
        )
        running.egress = outside.egress = egress
        outside.vipps = client
        tasks: dict[str, asyncio.Task[None]] = {}
        if has_worker:
            end_leases_of_the_dead(context.database, now=context.clock.now())
            commands = CommandWorker(context, client, dice=SystemRandom())
            tasks["commands"] = asyncio.create_task(commands.run(stop))
            tasks["recovery"] = asyncio.create_task(Recoverer(context, client).run(stop))
            watch = ClockWatch(context)
            tasks["clock"] = asyncio.create_task(watch.run(stop))
            attendant = Attendant(context, watch.is_believed)
            tasks["clockwork"] = asyncio.create_task(attendant.run(stop))
            cleaner = Cleaner(context, watch.is_believed)
            tasks["cleaning"] = asyncio.create_task(cleaner.run(stop))
            keeper = RegistrationKeeper(context, client)
            tasks["registrations"] = asyncio.create_task(keeper.run(stop))
            if context.settings.broker_url:
                # Who has no broker waits for none of what speaks with one.
                from service.broker.sink import BrokerSink

                sink = BrokerSink(context, dice=SystemRandom())
                tasks["broker"] = asyncio.create_task(sink.run(stop))
            tasks["deliveries"] = asyncio.create_task(Deliverer(context, egress).run(stop))
        neighbours = Neighbours(context)
        hearing = asyncio.create_task(neighbours.run())
        running.workers = {name: partial(_is_running, task) for name, task in tasks.items()}
        if context.settings.has_built_in_sandbox:
            tasks["register"] = asyncio.create_task(_register_at_sandbox(context, client, stop))
        try:
            yield
        finally:
            stop.set()
            # Who rests has no ear for it until the next look, up to a second later.
            context.wake.hear(context.wake.names)
            await _finish(list(tasks.values()))
            neighbours.end()
            await _finish([hearing], within_s=_SAY_WITHIN_S)


def _is_running(task: asyncio.Task[None]) -> bool:
    return not task.done()


async def _finish(tasks: Sequence[asyncio.Task[None]], within_s: float = FINISH_WITHIN_S) -> None:
    if not tasks:
        return
    done, late = await asyncio.wait(tasks, timeout=within_s)
    for task in late:
        task.cancel()
    for task in done:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("worker_ended", reason=repr(error))


def create_worker(settings: Settings) -> Starlette:
    """Return the workers alone, as an application that answers nothing but probes.

    Raises: as `open_context`."""
    context, running = open_context(settings), Running()

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with _working_alone(context, running):
            yield

    routes = probe_routes(context, running)
    return Starlette(routes=routes, lifespan=lifespan, exception_handlers=exception_handlers())


async def run_worker(settings: Settings, stop: asyncio.Event) -> None:
    """Run the workers alone until `stop` is set. Raises: as `open_context`."""
    async with _working_alone(open_context(settings), Running()):
        await stop.wait()


@asynccontextmanager
async def _working_alone(context: Context, running: Running) -> AsyncIterator[None]:
    try:
        async with working(context, running, Outside()):
            yield
    finally:
        await to_thread.run_sync(context.traces.close)
        context.database.dispose()


async def _register_at_sandbox(context: Context, client: VippsClient, stop: asyncio.Event) -> None:
    """Register our address at the built-in sandbox, as soon as it listens."""
    while not stop.is_set():
        try:
            await register(context, client, context.settings.msn)
        except ServiceError:
            await asyncio.sleep(REGISTER_AGAIN_S)
        else:
            return


def _built_in_sandbox(settings: Settings) -> Sandbox:
    path = sa.make_url(settings.database_url).database
    is_file = settings.database_url.startswith("sqlite") and path
    file = Path(f"{path}.sandbox") if is_file else None
    return create_sandbox(SandboxSettings(public_url=settings.base_url, database_path=file))
