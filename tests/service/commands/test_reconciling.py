"""`reconcile`: every payment that may still change is read, and each invoice brought there."""

import asyncio
from datetime import timedelta
from functools import partial
from random import Random

import pytest
import sqlalchemy as sa

from service.commands.reconciling import Healed, choose, reconcile
from service.commands.worker import CommandWorker
from service.ledger.book import Book, write
from service.ledger.invoices import create_invoice
from service.ledger.types import NewInvoice
from service.store.db import Database
from service.store.inserts import table_of
from service.store.tables import Invoice, Payment, SalesUnit
from service.vipps import VippsClient, new_http
from tests.builders import AMOUNT, MSN, REFERENCE, THE_MERCHANT, an_invoice
from tests.fake_merchant import until
from tests.service.inbox.stage import Stage, open_stage

pytestmark = pytest.mark.anyio


async def push(stage: Stage, *references: str) -> None:
    """Send invoices into the app, by the worker; no webhook is registered, so none comes."""
    for number, reference in enumerate(references):
        invoice = an_invoice(reference=reference, phone_number=f"47912345{number:02d}")
        write(stage.context, partial(_create, invoice=invoice))
    stage.context.wake.bind()
    stop = asyncio.Event()
    worker = CommandWorker(stage.context, stage.client, dice=Random(1))
    running = asyncio.create_task(worker.run(stop))
    await until(lambda: all(row.state == "pushed" for row in stage.all(Invoice)))
    stop.set()
    await running


def _create(book: Book, *, invoice: NewInvoice) -> None:
    create_invoice(book, MSN, invoice, THE_MERCHANT)


async def approve(stage: Stage, reference: str) -> None:
    """Let the customer approve, unheard."""
    (await stage.vipps.post(f"/sandbox/payments/{reference}/approve")).raise_for_status()


async def test_reconcile_heals_what_no_webhook_told(database: Database) -> None:
    """The webhook was lost; one command finds the money, and says whose it was."""
    async with open_stage(database) as stage:
        await push(stage, REFERENCE, "acme-2026-000124")
        await approve(stage, REFERENCE)
        progress: list[int] = []

        chosen = choose(stage.context)
        report = await reconcile(
            stage.context, stage.client, chosen, dice=Random(1), on_progress=progress.append
        )

        assert (report.read, report.unread, report.drifting) == (2, [], [])
        assert report.healed == [
            Healed(MSN, REFERENCE, "pushed", "authorized", "authorize", REFERENCE)
        ]
        assert sum(progress) == 2
        assert {row.reference: row.state for row in stage.all(Invoice)} == {
            REFERENCE: "authorized",
            "acme-2026-000124": "pushed",
        }


async def test_reconcile_again_heals_nothing(database: Database) -> None:
    """Doing it twice is doing it once."""
    async with open_stage(database) as stage:
        await push(stage, REFERENCE)
        await approve(stage, REFERENCE)
        for _ in range(2):
            report = await reconcile(
                stage.context,
                stage.client,
                choose(stage.context),
                dice=Random(1),
                on_progress=lambda _: None,
            )

        assert (report.read, report.healed) == (1, [])


async def test_reconcile_with_vipps_away_names_what_it_could_not_read(database: Database) -> None:
    """I am not told that all is well when nobody could be asked."""
    async with open_stage(database) as stage:
        await push(stage, REFERENCE)
        with database.transaction() as session:
            held = {"held_since": stage.context.clock.now()}
            stage.later(minutes=5)
            held["held_until"] = stage.context.clock.now()
            stage.ahead.append(stage.ahead[0])
            session.execute(sa.update(table_of(SalesUnit)).values(held))
        async with new_http() as http:
            report = await reconcile(
                stage.context,
                VippsClient("http://127.0.0.1:9", http),
                choose(stage.context),
                dice=Random(1),
                on_progress=lambda _: None,
            )

        assert (report.read, report.unread) == (1, [REFERENCE])


async def test_reconcile_chooses_what_may_still_change(database: Database) -> None:
    """Live, with money reserved, or paid a short while ago; the rest when it is named."""
    async with open_stage(database) as stage:
        names = [f"chosen-{number:04d}" for number in range(5)]
        await push(stage, *names)
        long_ago = stage.context.clock.now() - timedelta(days=15)
        just_now = stage.context.clock.now() - timedelta(days=13)
        paid = {"state": "authorized", "authorized_minor": AMOUNT}
        taken = {**paid, "captured_minor": AMOUNT}
        for name, values in (
            (names[1], {**paid, "updated_at": long_ago}),
            (names[2], {**taken, "updated_at": long_ago}),
            (names[3], {**taken, "updated_at": just_now}),
            (names[4], {"state": "aborted", "updated_at": just_now}),
        ):
            with database.transaction() as session:
                table = table_of(Payment)
                session.execute(sa.update(table).where(table.c.reference == name).values(values))

        def chosen(**how: object) -> list[str]:
            found = choose(stage.context, **how)  # type: ignore[arg-type]  # one of each kind
            return sorted(one.reference for one in found)

        assert chosen() == [names[0], names[1], names[3]]
        assert chosen(msn=MSN) == chosen()
        assert chosen(msn="999999") == []
        assert chosen(is_all=True) == names
        assert chosen(reference=names[4]) == [names[4]]
