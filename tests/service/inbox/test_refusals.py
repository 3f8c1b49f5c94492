"""The short memory of refused webhooks: bounded, diagnosed, and only of ours."""

import asyncio

import httpx
import pytest
import sqlalchemy as sa

from service.inbox.refusals import KEPT_MAX, recent_refusals
from service.inbox.registering import register, rotate
from service.store.db import Database
from service.store.inserts import table_of
from service.store.tables import RefusedWebhook, Registration, StoredVippsEvent
from tests.builders import MSN, a_vipps_event, signed_headers
from tests.service.inbox.stage import Stage, open_stage

pytestmark = pytest.mark.anyio


def secrets(stage: Stage) -> list[str]:
    """Return every secret here, oldest first."""
    place = "registration:{}:secret".format
    vault = stage.context.vault
    return [vault.open(row.secret, place=place(row.id)).decode() for row in stage.rows()]


async def post(stage: Stage, *, secret: str, base: str = "", msn: str = MSN, **headers: str) -> int:
    """Post a webhook to the receiver, signed for the address `base`; return the status."""
    body = str(a_vipps_event()).encode()
    at = stage.context.clock.now()
    signed = signed_headers(body, secret=secret, at=at, msn=msn, base=base or stage.url)
    async with httpx.AsyncClient() as http:
        url = f"{stage.url}/webhooks/vipps/{msn}"
        answer = await http.post(url, content=body, headers=signed | headers)
    assert stage.receiver is not None
    await stage.receiver.drain()
    return answer.status_code


def noted(stage: Stage) -> list[tuple[str, list[str]]]:
    """Return what is kept, newest first."""
    with stage.context.database.snapshot() as session:
        return [(row.reason, row.diagnosis) for row in recent_refusals(session, MSN)]


async def test_refusal_is_noted_with_what_would_have_matched(database: Database) -> None:
    """The doctor can tell me that Vipps signs for the address of before."""
    async with open_stage(database) as stage:
        await register(stage.context, stage.client, MSN)
        with database.transaction() as session:
            moved = {"url": f"https://old.example/webhooks/vipps/{MSN}"}
            session.execute(sa.update(table_of(Registration)).values(moved))
        (secret,) = secrets(stage)

        status = await post(stage, secret=secret)

        assert status == 401
        host = stage.url.removeprefix("http://")
        assert noted(stage) == [("SignatureMismatch", [f"host={host}"])]
        stage.later(seconds=2)
        assert await post(stage, secret="a stranger's") == 401
        assert noted(stage)[0] == ("SignatureMismatch", ["unknown_signature"])


async def test_refusal_of_an_old_secret_is_named(database: Database) -> None:
    """An old registration that was not deleted at Vipps is recognised."""
    async with open_stage(database) as stage:
        await register(stage.context, stage.client, MSN)
        await rotate(stage.context, stage.client, MSN, overlap_s=0)
        old, _ = secrets(stage)
        with database.transaction() as session:
            retired = sa.update(table_of(Registration)).values(
                retired_at=stage.rows()[0].created_at
            )
            session.execute(retired.where(table_of(Registration).c.id == stage.rows()[0].id))

        assert await post(stage, secret=old) == 401
        assert noted(stage) == [("SignatureMismatch", ["retired_secret"])]


async def test_refusals_are_noted_once_a_second_and_of_our_sales_units_only(
    database: Database,
) -> None:
    """A flood of nonsense writes next to nothing."""
    async with open_stage(database) as stage:
        await register(stage.context, stage.client, MSN)
        bad = {"X-Ms-Date": "yesterday"}

        await asyncio.gather(*(post(stage, secret="x", **bad) for _ in range(20)))
        stage.later(seconds=2)
        unknown = await post(stage, secret="x", msn="999999", **bad)

        assert unknown == 401
        assert noted(stage) == [("MalformedHeader", ["header_malformed"])]
        assert len(stage.all(RefusedWebhook)) == 1
        assert stage.all(StoredVippsEvent) == []


async def test_refusals_beyond_the_limit_are_forgotten(database: Database) -> None:
    """The log never grows: the last fifty are kept."""
    async with open_stage(database) as stage:
        for number in range(KEPT_MAX + 3):
            stage.later(seconds=2)
            await post(stage, secret="x", **{"X-Ms-Date": f"day {number}"})

        assert len(noted(stage)) == KEPT_MAX
