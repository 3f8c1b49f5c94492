"""Registering our address at Vipps, and keeping the secret that is shown once."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from service.errors import Conflict, NotFound, UpstreamError
from service.inbox.registering import EVENT_TYPES, register, webhook_url
from service.inbox.registrations import read_active
from service.sandbox import SandboxSettings, create_app
from service.store.db import Database
from service.store.tables import Registration, SalesUnit
from service.vipps import VippsClient, new_http
from tests.builders import BASE_URL, MSN, Desk, a_desk
from tests.service.inbox.posting import post, posting
from tests.service.vipps.builders import some_keys

pytestmark = pytest.mark.anyio


@pytest.fixture
async def vipps() -> AsyncIterator[VippsClient]:
    """Give a client whose Vipps is a sandbox in this process."""
    transport = httpx.ASGITransport(create_app(SandboxSettings(public_url=BASE_URL)))
    async with new_http(transport) as http:
        yield VippsClient(BASE_URL, http)


@pytest.fixture
def desk(database: Database) -> Desk:
    """Give a service with a sales unit and an invoice."""
    made = a_desk(database)
    made.create()
    return made


def _secret(desk: Desk) -> str:
    with desk.context.database.snapshot() as session:
        (registered,) = read_active(session, desk.context.vault, now=desk.context.clock.now())[MSN]
    return registered.secrets[-1]


async def test_register_keeps_a_secret_that_opens_the_receiver(
    desk: Desk, vipps: VippsClient
) -> None:
    """After one command, Vipps's webhooks are believed."""
    made, is_new = await register(desk.context, vipps, MSN)

    body: Any = (await vipps.list_webhooks(some_keys())).body
    (listed,) = body["webhooks"]
    async with posting(desk.context) as client:
        answer = await post(client, secret=_secret(desk))
    assert is_new and listed["id"] == made.vipps_id
    assert (listed["url"], sorted(listed["events"])) == (
        webhook_url(desk.context, MSN),
        sorted(EVENT_TYPES),
    )
    assert answer.status_code == 200
    assert _secret(desk).encode() not in made.secret


async def test_register_again_keeps_what_is_there(desk: Desk, vipps: VippsClient) -> None:
    """Running the command twice is running it once."""
    first, _ = await register(desk.context, vipps, MSN)

    again, is_new = await register(desk.context, vipps, MSN)

    assert (again.id, is_new) == (first.id, False)
    assert len(desk.all(Registration)) == 1


async def test_register_after_vipps_dropped_it_makes_a_new_one(
    desk: Desk, vipps: VippsClient
) -> None:
    """A registration that Vipps deleted is replaced."""
    first, _ = await register(desk.context, vipps, MSN)
    await vipps.delete_webhook(some_keys(), str(first.vipps_id))

    again, is_new = await register(desk.context, vipps, MSN)

    assert is_new and again.id != first.id


async def test_register_without_a_unit_or_its_keys_is_refused(
    desk: Desk, vipps: VippsClient, database: Database
) -> None:
    """What is missing is named."""
    with pytest.raises(NotFound):
        await register(desk.context, vipps, "9999")
    with database.transaction() as session:
        session.execute(sa.update(SalesUnit).values(vipps_keys=None))
    with pytest.raises(Conflict) as refused:
        await register(desk.context, vipps, MSN)

    assert refused.value.code == "keys_missing"


async def test_register_while_vipps_is_away_stores_nothing(desk: Desk) -> None:
    """A secret that never came is not made up."""

    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    async with new_http(httpx.MockTransport(refuse)) as http:
        with pytest.raises(UpstreamError):
            await register(desk.context, VippsClient(BASE_URL, http), MSN)

    assert desk.all(Registration) == []
