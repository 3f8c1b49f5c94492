"""A service at the sandbox, whose waits take no time."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random
from typing import Any

import httpx
import pytest
from sqlmodel import col
from starlette.applications import Starlette

from service.commands.run import run
from service.sandbox import Clock, SandboxSettings, create_app
from service.store.db import Database
from service.store.tables import Command, SalesUnit
from service.vipps import VippsClient, new_http
from tests.builders import BASE_URL, REFERENCE, Desk, a_desk
from tests.fake_merchant import serve
from tests.service.commands.running import claimed, settled

ROUNDS_MAX = 400


@dataclass(slots=True)
class Play:
    """A service, a sandbox, and a worker whose waits take no time."""

    desk: Desk
    http: httpx.AsyncClient
    client: VippsClient
    dice: Random
    url: str = BASE_URL
    crashes: float = 0.0  # the share of commands whose worker dies with the answer in hand

    async def work(self) -> None:
        """Run commands until none is open, or all wait for keys; waits take no time."""
        for _ in range(ROUNDS_MAX):
            has_run = await self.run_due()
            open_ones = self.desk.all(Command, col(Command.status).in_(("waiting", "running")))
            if not open_ones or is_held(self.desk):
                return
            next_at = min(one.next_attempt_at for one in open_ones)
            self.desk.times.append(max(self.desk.now(), next_at))
            if not has_run:
                self.desk.later(seconds=30)  # what is due waits for Vipps's limit on writes
        pytest.fail(f"still busy after {ROUNDS_MAX} rounds")

    async def run_due(self) -> bool:
        """Run what is due now; tell whether there was anything."""
        ran = []
        found = claimed(self.desk)
        for one in found:
            now = self.desk.now()
            result = await run(self.client, one, base_url=self.url, dice=self.dice, now=now)
            if self.dice.random() >= self.crashes:
                ran.append(result)
        if ran:
            settled(self.desk, *ran)
        return bool(found)

    async def sandbox(self, method: str, path: str, body: Any = None) -> Any:
        """Call the sandbox's own API."""
        answer = await self.http.request(method, f"{self.url}/sandbox{path}", json=body or {})
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def approve(self, reference: str = REFERENCE) -> None:
        """Let the customer approve; a read will find it."""
        await self.sandbox("POST", f"/payments/{reference}/approve")
        self.desk.change(lambda book, _, payment: book.plan_read(payment), reference)

    async def effects(self) -> list[tuple[str, str, int]]:
        """Return what really happened at Vipps: what, to which payment, and how much."""
        items = (await self.sandbox("GET", "/effects"))["items"]
        return [(i["effect"], i["reference"], i["amount"]["value"]) for i in items]


def is_held(desk: Desk) -> bool:
    """Tell whether the sales unit's commands wait for its keys."""
    return desk.all(SalesUnit)[0].held_since is not None


@asynccontextmanager
async def playing(database: Database, seed: int = 0, **settings: Any) -> AsyncIterator[Play]:
    """Give a service and a sandbox of one clock, in one process."""
    desk = a_desk(database)
    transport = httpx.ASGITransport(_sandbox(desk, **settings))
    async with new_http(transport) as http:
        yield Play(desk, http, VippsClient(BASE_URL, http), Random(seed))


@asynccontextmanager
async def playing_over_a_socket(database: Database) -> AsyncIterator[Play]:
    """Give a service and a sandbox of one clock that talk real HTTP."""
    desk = a_desk(database)
    async with serve(_sandbox(desk)) as url, new_http() as http:
        yield Play(desk, http, VippsClient(url, http), Random(0), url)


def _sandbox(desk: Desk, **settings: Any) -> Starlette:
    shape = {"public_url": BASE_URL, "has_rate_limits": False, "silence_s": 0.01, **settings}
    return create_app(SandboxSettings(**shape), clock=Clock(desk.now))
