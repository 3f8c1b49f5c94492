"""A service's receiver and a sandbox beside each other, over real HTTP."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import sqlalchemy as sa
from sqlmodel import col, select
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from service.clock import Clock
from service.context import Context
from service.inbox.receiver import Receiver
from service.sandbox import SandboxSettings, create_app
from service.settings import load_settings
from service.store.db import Database
from service.store.tables import Registration
from service.units import add_unit
from service.vault import open_vault
from service.vipps import VippsClient, new_http
from service.wake import Wake
from tests.builders import MSN, a_unit
from tests.fake_merchant import serve

TOKEN = {"client_id": "id", "client_secret": "s", "Ocp-Apim-Subscription-Key": "k"}
UNIT = {"Merchant-Serial-Number": MSN}


@dataclass(slots=True)
class Stage:
    """What a test has at hand: our side, Vipps's side, and every answer that we gave to Vipps."""

    context: Context
    client: VippsClient
    vipps: httpx.AsyncClient
    url: str  # of the receiver
    ahead: list[timedelta]
    answers: list[int] = field(default_factory=list)
    receiver: Receiver | None = None

    def later(self, **time: float) -> None:
        """Let our time pass."""
        self.ahead.append(self.ahead[-1] + timedelta(**time))

    async def listed(self) -> list[dict[str, Any]]:
        """Return the registrations that Vipps has."""
        answer = await self.vipps.get("/webhooks/v1/webhooks")
        hooks: list[dict[str, Any]] = answer.raise_for_status().json()["webhooks"]
        return hooks

    async def delete(self, vipps_id: str | None) -> None:
        """Delete a registration at Vipps, behind our back."""
        (await self.vipps.delete(f"/webhooks/v1/webhooks/{vipps_id}")).raise_for_status()

    async def pay(self, reference: str) -> None:
        """Make a payment and let the customer approve it: two webhooks per registration."""
        body = {
            "amount": {"currency": "NOK", "value": 100},
            "reference": reference,
            "userFlow": "PUSH_MESSAGE",
            "customer": {"phoneNumber": "4791234567"},
            "paymentMethod": {"type": "WALLET"},
            "returnUrl": "https://shop.example",
            "paymentDescription": "Test",
        }
        key = {"Idempotency-Key": reference}
        made = await self.vipps.post("/epayment/v1/payments", json=body, headers=key)
        made.raise_for_status()
        approved = await self.vipps.post(f"/sandbox/payments/{reference}/approve")
        approved.raise_for_status()

    def rows(self) -> list[Registration]:
        """Return every registration here, oldest first."""
        with self.context.database.snapshot() as session:
            order = (col(Registration.created_at), col(Registration.id))
            return list(session.exec(select(Registration).order_by(*order)))

    def all(self, model: Any) -> list[Any]:
        """Return every row of a table."""
        with self.context.database.snapshot() as session:
            return list(session.scalars(sa.select(model)).all())


@asynccontextmanager
async def open_stage(database: Database, *, public_url: str = "") -> AsyncIterator[Stage]:
    """Serve both; `public_url` where the receiver is not to be reached by its own."""
    stage: Stage

    async def receive_and_note(scope: Scope, receive: Receive, send: Send) -> None:
        async def noting(message: Any) -> None:
            if message["type"] == "http.response.start":
                stage.answers.append(message["status"])
            await send(message)

        assert stage.receiver is not None
        await stage.receiver(scope, receive, noting)

    class Endpoint:
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await receive_and_note(scope, receive, send)

    sandbox = create_app(SandboxSettings())
    app = Starlette(routes=[Route("/webhooks/vipps/{msn}", Endpoint())])
    async with (
        serve(sandbox) as vipps_url,
        serve(app) as url,
        sandbox.router.lifespan_context(sandbox),
    ):
        ahead = [timedelta()]
        now = datetime.now(UTC)
        with database.transaction() as session:
            vault = open_vault(session, [b"k" * 32], now=now)
            add_unit(session, vault, a_unit(), now=now)
        given = {"BETALBAR_VIPPS_URL": vipps_url, "BETALBAR_PUBLIC_URL": public_url or url}
        clock = Clock(real=lambda: datetime.now(UTC) + ahead[-1])
        context = Context(load_settings(given), database, vault, clock, Wake())
        async with new_http() as http, httpx.AsyncClient(base_url=vipps_url) as vipps:
            answer = await vipps.post("/accesstoken/get", headers=TOKEN | UNIT)
            token = answer.raise_for_status().json()["access_token"]
            bearer = {"Authorization": f"Bearer {token}", "Ocp-Apim-Subscription-Key": "k"}
            vipps.headers.update(bearer | UNIT)
            stage = Stage(context, VippsClient(vipps_url, http), vipps, url, ahead)
            stage.receiver = Receiver(context)
            yield stage
            await stage.receiver.drain()
