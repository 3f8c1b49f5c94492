"""Our registrations at Vipps, against the sandbox over real HTTP, on both databases."""

import asyncio

import pytest
import sqlalchemy as sa

from service.errors import NotFound, UpstreamTimeout
from service.inbox.registering import compare, delete_due, delete_strays, register, rotate, sync
from service.inbox.registrations import read_active
from service.store.db import Database
from service.store.tables import Registration, StoredVippsEvent
from service.vipps import VippsClient, new_http
from tests.builders import MSN
from tests.fake_merchant import until
from tests.service.inbox.stage import Stage, open_stage

pytestmark = pytest.mark.anyio

DAY_S = 86_400


def accepted(stage: Stage) -> int:
    """Return how many secrets the receiver would believe now."""
    with stage.context.database.snapshot() as session:
        found = read_active(session, stage.context.vault, now=stage.context.clock.now())
    return sum(len(one.secrets) for one in found.get(MSN, ()))


async def test_registration_deleted_at_vipps_is_registered_anew(database: Database) -> None:
    """Vipps deleted my address after a long silence; one command, and it is told again."""
    async with open_stage(database) as stage:
        first, _ = await register(stage.context, stage.client, MSN)
        await stage.delete(first.vipps_id)

        synced = await sync(stage.context, stage.client, MSN)
        again = await sync(stage.context, stage.client, MSN)

        assert [one.vipps_id for one in synced.standing.gone] == [first.vipps_id]
        assert synced.made is not None
        assert [hook["id"] for hook in await stage.listed()] == [synced.made.vipps_id]
        assert (again.made, again.standing.gone) == (None, ())
        old, new = stage.rows()
        assert (old.id, new.id) == (first.id, synced.made.id)
        assert old.missing_since is not None
        assert (old.retired_at is None, new.retired_at) == (False, None)


async def test_sync_registers_nothing_that_register_did_not(database: Database) -> None:
    """Nobody is registered who did not ask for it."""
    async with open_stage(database) as stage:
        synced = await sync(stage.context, stage.client, MSN)

        assert (synced.made, await stage.listed()) == (None, [])


async def test_sync_that_vipps_refuses_leaves_the_loss_to_be_seen(database: Database) -> None:
    """While Vipps is away, what is missing stays noted until it is mended."""
    async with open_stage(database) as stage:
        first, _ = await register(stage.context, stage.client, MSN)
        await stage.delete(first.vipps_id)
        full = {"url": "https://other.example/", "events": ["epayments.payment.captured.v1"]}
        for _ in range(25):
            (await stage.vipps.post("/webhooks/v1/webhooks", json=full)).raise_for_status()

        with pytest.raises(Exception, match="Vipps answered 400"):
            await sync(stage.context, stage.client, MSN)

        (row,) = stage.rows()
        assert row.missing_since is not None
        assert row.retired_at is None


async def test_registration_at_an_old_address_is_told_and_deleted_when_asked(
    database: Database,
) -> None:
    """My service moved: the new address is registered, the old one is mine to end."""
    async with open_stage(database) as stage:
        old, _ = await register(stage.context, stage.client, MSN)
        with database.transaction() as session:
            session.execute(sa.update(Registration).values(url="http://127.0.0.1:1/webhooks"))
        stray = {
            "url": f"{stage.url}/webhooks/vipps/{MSN}",
            "events": ["epayments.payment.captured.v1"],
        }
        unknown = (await stage.vipps.post("/webhooks/v1/webhooks", json=stray)).json()["id"]

        synced = await sync(stage.context, stage.client, MSN)
        before = {hook["id"] for hook in await stage.listed()}
        deleted = await delete_strays(stage.context, stage.client, synced.standing)

        assert [one.vipps_id for one in synced.standing.elsewhere] == [old.vipps_id]
        assert synced.standing.unknown == (unknown,)
        assert synced.made is not None
        assert before == {old.vipps_id, unknown, synced.made.vipps_id}
        assert deleted == 2
        assert [hook["id"] for hook in await stage.listed()] == [synced.made.vipps_id]


async def test_rotation_keeps_both_until_the_overlap_is_over(database: Database) -> None:
    """A new secret, and a day in which the old one is still good."""
    async with open_stage(database) as stage:
        first, _ = await register(stage.context, stage.client, MSN)
        made, old = await rotate(stage.context, stage.client, MSN, overlap_s=DAY_S)
        stage.later(seconds=DAY_S - 60)
        early = await delete_due(stage.context, stage.client, MSN)
        both = {hook["id"] for hook in await stage.listed()}
        stage.later(seconds=61)
        due = await delete_due(stage.context, stage.client, MSN)

        assert [one.id for one in old] == [first.id]
        assert (early, both, accepted(stage)) == (0, {first.vipps_id, made.vipps_id}, 2)
        assert due == 1
        assert [hook["id"] for hook in await stage.listed()] == [made.vipps_id]
        stage.later(seconds=61)
        assert accepted(stage) == 1
        assert (await compare(stage.context, stage.client, MSN)).here[0].id == made.id


async def test_rotation_whose_deletion_failed_is_finished_later(database: Database) -> None:
    """A process that died in between costs ten minutes, and no secret too many."""
    async with open_stage(database) as stage:
        await register(stage.context, stage.client, MSN)
        made, _ = await rotate(stage.context, stage.client, MSN, overlap_s=0)
        async with new_http() as http:
            nobody = VippsClient("http://127.0.0.1:9", http)
            with pytest.raises(UpstreamTimeout):
                await delete_due(stage.context, nobody, MSN)
        at_once = await delete_due(stage.context, stage.client, MSN)
        stage.later(minutes=11)

        assert at_once == 0
        assert await delete_due(stage.context, stage.client, MSN) == 1
        assert [hook["id"] for hook in await stage.listed()] == [made.vipps_id]


async def test_rotation_deletes_nothing_when_its_new_registration_is_gone(
    database: Database,
) -> None:
    """The last registration that delivers is never deleted."""
    async with open_stage(database) as stage:
        first, _ = await register(stage.context, stage.client, MSN)
        made, _ = await rotate(stage.context, stage.client, MSN, overlap_s=0)
        await stage.delete(made.vipps_id)

        assert await delete_due(stage.context, stage.client, MSN) == 0
        assert [hook["id"] for hook in await stage.listed()] == [first.vipps_id]


async def test_rotation_of_what_vipps_has_deleted_already_is_done(database: Database) -> None:
    """Whoever deleted it before us: it is gone."""
    async with open_stage(database) as stage:
        first, _ = await register(stage.context, stage.client, MSN)
        await rotate(stage.context, stage.client, MSN, overlap_s=0)
        await stage.delete(first.vipps_id)

        assert await delete_due(stage.context, stage.client, MSN) == 1


async def test_rotation_without_a_registration_is_refused(database: Database) -> None:
    """There must be something to rotate."""
    async with open_stage(database) as stage:
        with pytest.raises(NotFound, match="webhooks register"):
            await rotate(stage.context, stage.client, MSN, overlap_s=0)


async def test_two_processes_delete_a_replaced_registration_once(database: Database) -> None:
    """Of many processes one carries it out."""
    async with open_stage(database) as stage:
        await register(stage.context, stage.client, MSN)
        await rotate(stage.context, stage.client, MSN, overlap_s=0)

        counts = await asyncio.gather(
            *(delete_due(stage.context, stage.client, MSN) for _ in range(4))
        )

        assert sorted(counts) == [0, 0, 0, 1]


async def test_rotation_under_load_loses_no_webhook_and_refuses_none(database: Database) -> None:
    """Payments go on while the secret changes, and each event is stored, none answered 401."""
    async with open_stage(database) as stage:
        await register(stage.context, stage.client, MSN)
        is_over = asyncio.Event()
        made: list[str] = []

        async def customers() -> None:
            while not is_over.is_set():
                made.append(f"rotating-{len(made):05d}")
                await stage.pay(made[-1])

        paying = asyncio.create_task(customers())
        for _ in range(3):
            await _more_answers(stage)
            await rotate(stage.context, stage.client, MSN, overlap_s=0)
            await _more_answers(stage)
            await until(lambda: _all_told(stage, made[:-1]))
            assert await delete_due(stage.context, stage.client, MSN) == 1
        is_over.set()
        await paying
        await until(lambda: _all_told(stage, made))

        assert set(stage.answers) == {200}
        assert len(await stage.listed()) == 1


async def _more_answers(stage: Stage) -> None:
    seen = len(stage.answers)
    await until(lambda: len(stage.answers) >= seen + 20)


def _all_told(stage: Stage, references: list[str]) -> bool:
    stored = {(row.reference, row.name) for row in stage.all(StoredVippsEvent)}
    return all({(r, "CREATED"), (r, "AUTHORIZED")} <= stored for r in references)
