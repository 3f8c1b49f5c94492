"""Seeking: what was made at Vipps after the backup is found, and is not asked for twice (I9)."""

import asyncio
from random import Random

import pytest

from service.commands.recovering import Recoverer
from service.commands.worker import CommandWorker
from service.ledger.payments import names_to_come
from service.store.db import Database
from service.store.recovery import begin_recovery, recoveries
from service.store.tables import Invoice, Payment, Unread
from service.vipps import VippsClient, new_http
from tests.builders import AMOUNT, REFERENCE, a_pushed_desk
from tests.fake_merchant import until
from tests.service.commands.running import claimed
from tests.service.commands.test_reconciling import push
from tests.service.inbox.stage import Stage, open_stage

pytestmark = pytest.mark.anyio


async def test_payment_that_took_anothers_place_after_the_backup_is_found(
    database: Database,
) -> None:
    """The end of the one that I know is not the end of the invoice: the customer was asked anew.

    A name of another shop, and one that was never used, lie in between."""
    async with open_stage(database) as stage:
        await push(stage, REFERENCE)
        (invoice,) = stage.all(Invoice)
        await withdraw(stage, REFERENCE)
        await make(stage, f"{REFERENCE}-2", "inv_of_somebody_else")
        await make(stage, f"{REFERENCE}-4", invoice.id)

        await _recover(stage)

        found = {row.reference: row.state for row in stage.all(Payment)}
        assert found == {REFERENCE: "terminated", f"{REFERENCE}-4": "created"}
        assert [row.state for row in stage.all(Invoice)] == ["pushed"]


async def test_nothing_is_read_of_an_invoice_before_its_payments_are_known(
    database: Database,
) -> None:
    """While Vipps can't be asked, all of it waits."""
    desk, _ = a_pushed_desk(database)
    with database.transaction() as session:
        begin_recovery(session, now=desk.now())
    desk.later(minutes=1)

    async with new_http() as http:
        is_under_way = await Recoverer(desk.context, VippsClient("http://127.0.0.1:9", http)).look()

    assert (is_under_way, claimed(desk)) == (True, [])
    assert len(desk.all(Unread)) == 2


def test_names_to_come_are_those_that_the_next_payments_get() -> None:
    """The invoice's own first, then by number, past those that there are."""

    def three(*used: str) -> list[str]:
        return [name for name, _ in zip(names_to_come("a", set(used)), range(3), strict=False)]

    assert three() == ["a", "a-2", "a-3"]
    assert three("a") == ["a-2", "a-3", "a-4"]
    assert three("a", "a-3") == ["a-4", "a-5", "a-6"]


async def _recover(stage: Stage) -> None:
    """Let the service recover from what it has, with a worker, until it is done."""
    with stage.context.database.transaction() as session:
        begin_recovery(session, now=stage.context.clock.now())
    stop = asyncio.Event()
    parts = (
        CommandWorker(stage.context, stage.client, dice=Random(1)).run(stop),
        Recoverer(stage.context, stage.client).run(stop),
    )
    tasks = [asyncio.create_task(part) for part in parts]

    def is_over() -> bool:
        with stage.context.database.snapshot() as session:
            return recoveries(session) == []

    await until(is_over)
    stop.set()
    await asyncio.gather(*tasks)


async def withdraw(stage: Stage, reference: str) -> None:
    """Let a payment end at Vipps, unheard."""
    path, key = f"/epayment/v1/payments/{reference}/cancel", {"Idempotency-Key": reference}
    body = {"cancelTransactionOnly": True}
    (await stage.vipps.post(path, json=body, headers=key)).raise_for_status()


async def make(
    stage: Stage, reference: str, invoice_id: str, *, amount_minor: int = AMOUNT
) -> None:
    """Let there be a payment at Vipps that was made for this invoice."""
    body = {
        "amount": {"currency": "NOK", "value": amount_minor},
        "reference": reference,
        "userFlow": "PUSH_MESSAGE",
        "customer": {"phoneNumber": "4791234500"},
        "paymentMethod": {"type": "WALLET"},
        "paymentDescription": "Test",
        "metadata": {"betalbar": invoice_id},
    }
    key = {"Idempotency-Key": f"make-{reference}"}
    made = await stage.vipps.post("/epayment/v1/payments", json=body, headers=key)
    made.raise_for_status()
