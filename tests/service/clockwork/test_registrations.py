"""The daily look at our registrations at Vipps."""

import asyncio

import pytest

from service.clockwork.registrations import RegistrationKeeper
from service.inbox.registering import register, rotate
from service.store.db import Database
from service.store.tables import SalesUnit
from service.vipps import VippsClient, new_http
from tests.builders import MSN
from tests.service.inbox.stage import Stage, open_stage

pytestmark = pytest.mark.anyio


async def ids(stage: Stage) -> list[str]:
    """Return the ids of the registrations that Vipps has."""
    return [hook["id"] for hook in await stage.listed()]


async def test_daily_check_registers_anew_what_vipps_deleted(database: Database) -> None:
    """After two silent weeks Vipps forgets us; the next day it knows us again."""
    async with open_stage(database) as stage:
        first, _ = await register(stage.context, stage.client, MSN)
        keeper = RegistrationKeeper(stage.context, stage.client)
        await keeper.look()
        await stage.delete(first.vipps_id)
        stage.later(hours=23)
        await keeper.look()
        within_the_day = await ids(stage)
        stage.later(hours=2)
        await keeper.look()

        assert within_the_day == []
        assert len(await ids(stage)) == 1
        assert await ids(stage) != [first.vipps_id]


async def test_daily_check_is_made_by_one_of_many_processes(database: Database) -> None:
    """However many replicas there are, one registration is made."""
    async with open_stage(database) as stage:
        first, _ = await register(stage.context, stage.client, MSN)
        await stage.delete(first.vipps_id)
        keepers = [RegistrationKeeper(stage.context, stage.client) for _ in range(4)]

        await asyncio.gather(*(keeper.look() for keeper in keepers))

        assert len(await ids(stage)) == 1


async def test_daily_check_that_failed_is_made_again_within_the_hour(database: Database) -> None:
    """Vipps away at three in the morning is no reason to wait a day."""
    async with open_stage(database) as stage:
        first, _ = await register(stage.context, stage.client, MSN)
        await stage.delete(first.vipps_id)
        async with new_http() as http:
            nobody = VippsClient("http://127.0.0.1:9", http)
            await RegistrationKeeper(stage.context, nobody).look()
        keeper = RegistrationKeeper(stage.context, stage.client)
        await keeper.look()
        too_soon = await ids(stage)
        stage.later(minutes=61)
        await keeper.look()

        assert too_soon == []
        assert len(await ids(stage)) == 1


async def test_daily_check_leaves_alone_what_register_did_not_make(database: Database) -> None:
    """A sales unit that never registered is not asked about, and stays so."""
    async with open_stage(database) as stage:
        await RegistrationKeeper(stage.context, stage.client).look()

        (unit,) = stage.all(SalesUnit)
        assert unit.registrations_due_at is None
        assert await ids(stage) == []


async def test_keeper_ends_a_rotation_at_its_time(database: Database) -> None:
    """`rotate` and forget: the old secret goes when its overlap is over."""
    async with open_stage(database) as stage:
        await register(stage.context, stage.client, MSN)
        made, _ = await rotate(stage.context, stage.client, MSN, overlap_s=3600)
        keeper = RegistrationKeeper(stage.context, stage.client)
        await keeper.look()
        before = await ids(stage)
        stage.later(hours=1, seconds=1)
        await keeper.look()

        assert len(before) == 2
        assert await ids(stage) == [made.vipps_id]


async def test_keeper_stops_when_it_is_told_to(database: Database) -> None:
    """A stop does not wait for the next look."""
    async with open_stage(database) as stage:
        stop = asyncio.Event()
        running = asyncio.create_task(RegistrationKeeper(stage.context, stage.client).run(stop))
        await asyncio.sleep(0)
        stop.set()

        await asyncio.wait_for(running, 5)
