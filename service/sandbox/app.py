"""The sandbox put together: its routes, its background work, and an app of its own."""

import asyncio
import gc
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing, suppress
from datetime import datetime
from functools import partial
from typing import Any

from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from service.sandbox.acts import Acts
from service.sandbox.approval import settle
from service.sandbox.calls import Call, json_response
from service.sandbox.chaos import plan_answer, plan_of
from service.sandbox.clock import Clock
from service.sandbox.delivery import Dispatcher, report_crash
from service.sandbox.epayment import EpaymentApi
from service.sandbox.gate import PROBLEM_SHAPE, Gate
from service.sandbox.order_categories import OrderCategoriesApi
from service.sandbox.order_management import OrderManagementApi
from service.sandbox.page_routes import page_routes
from service.sandbox.sender import Sender
from service.sandbox.server import STATE, Endpoints
from service.sandbox.settings import SandboxSettings
from service.sandbox.tokens import Tokens
from service.sandbox.userinfo_api import UserinfoApi
from service.sandbox.webhooks_api import WebhooksApi
from service.sandbox.world import World


class Sandbox:
    """One Vipps look-alike: mount `routes` in any app and keep `run` going beside it.

    All of it belongs to one event loop. `clock` is the business clock.
    """

    def __init__(self, settings: SandboxSettings, clock: Clock) -> None:
        self.settings = settings
        self.clock = clock
        self._world = World(settings, clock)
        self._world.on_result = partial(settle, self._world)
        self._tokens = Tokens(settings, self._world.signing_key())
        gate = Gate(self._world, self._tokens)
        # The busiest first: routes are tried one after the other.
        self.routes: list[Route] = [
            *EpaymentApi(gate).routes(),
            *Acts(self._world).routes(),
            gate.route(
                "/accesstoken/get",
                "POST",
                handle=self._issue_token,
                shape=PROBLEM_SHAPE,
                admit=lambda headers, now: None,
            ),
            # Before the older calls, whose path has a place for any word.
            *OrderCategoriesApi(gate).routes(),
            *OrderManagementApi(gate).routes(),
            *WebhooksApi(gate).routes(),
            *UserinfoApi(gate).routes(),
            *page_routes(self._world),
        ]
        self.endpoints = Endpoints(self.routes, self._world)

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Deliver webhooks and expire payments for as long as the context is open.

        Leaving it lets go of the database file; a sandbox runs once.
        """
        timeout_s, real_now = self.settings.answer_timeout_s, self.clock.real_now
        with closing(Sender(timeout_s=timeout_s, real_now=real_now)) as sender:
            dispatcher = Dispatcher(self._world, sender.send)
            self._world.on_delivery = dispatcher.add
            work = [
                asyncio.create_task(dispatcher.run()),
                asyncio.create_task(self._expire_payments()),
            ]
            for task in work:
                task.add_done_callback(report_crash)
            try:
                yield
            finally:
                for task in work:
                    task.cancel()
                await asyncio.gather(*work, return_exceptions=True)
                self._world.store.close()

    def now(self) -> datetime:
        """Return business time."""
        return self.clock.now()

    def ahead_s(self) -> float:
        """Return how far business time is ahead of real time."""
        return self.clock.offset.total_seconds()

    def faults(self) -> Mapping[str, float | None]:
        """Return what goes wrong on purpose, by its API's names."""
        return plan_answer(self._world.chaos.plan)

    async def advance(self, seconds: float) -> None:
        """Turn the clock ahead, and expire what this makes too old."""
        self._world.advance(seconds)
        await self._world.store.kept()

    async def set_faults(self, faults: Mapping[str, float]) -> None:
        """Let this go wrong from now on. Raises: Refused."""
        self._world.follow(plan_of(faults))
        await self._world.store.kept()

    def _issue_token(self, call: Call) -> Response:
        answer = self._tokens.issue(call.headers, call.now)
        return json_response(answer, media_type="application/json;charset=UTF-8")

    async def _expire_payments(self) -> None:
        news = asyncio.Event()
        self._world.on_expiry_change = news.set
        self.clock.watch(news.set)
        while True:
            news.clear()
            self._world.expire_due()
            await self._world.store.kept()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._idle_s()):
                    await news.wait()

    def _idle_s(self) -> float | None:
        next_at = self._world.next_expiry_at()
        if next_at is None:
            return None
        return max((next_at - self.clock.now()).total_seconds(), 0.0)


def create_sandbox(settings: SandboxSettings, *, clock: Clock | None = None) -> Sandbox:
    """Return a sandbox with the state its file holds; share `clock` with the service."""
    return Sandbox(settings, clock or Clock())


def create_app(settings: SandboxSettings, *, clock: Clock | None = None) -> Starlette:
    """Return the sandbox as an app of its own, for a server with `SandboxProtocol`."""
    sandbox = create_sandbox(settings, clock=clock)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[Mapping[str, Any]]:
        async with sandbox.run():
            yield {STATE: sandbox.endpoints}

    return Starlette(routes=list(sandbox.routes), lifespan=lifespan)


def spare_the_collector() -> None:
    """Have garbage looked for seldom; for a process that does nothing but serve a sandbox.

    What a sandbox keeps are thousands of small objects and no cycles: looking through them
    again and again took a fifth of the rate of tests/benchmarks/sandbox_rate.py.
    """
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)
