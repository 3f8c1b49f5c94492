"""An invoice that a restore has lost, posted again: its payments at Vipps are its own (T48)."""

import asyncio
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

import pytest

from service.commands.recovering import Recoverer
from service.commands.worker import CommandWorker
from service.ids import name_part, named_bytes, named_id
from service.ledger.acts import cancel
from service.ledger.book import Book, write
from service.ledger.invoices import create_invoice
from service.store.db import Database
from service.store.recovery import add_unread
from service.store.tables import Command, Invoice, Payment, Unread
from tests.builders import AMOUNT, MSN, REFERENCE, THE_MERCHANT, a_desk, an_invoice
from tests.fake_merchant import until
from tests.service.commands.running import claimed
from tests.service.commands.test_reconciling import approve
from tests.service.commands.test_seeking import make, withdraw
from tests.service.inbox.stage import Stage, open_stage

pytestmark = pytest.mark.anyio

SECOND = f"{REFERENCE}-2"


def lost_id(stage: Stage) -> str:
    """Return the id that the invoice had before the restore."""
    return named_id("inv", stage.context.vault.invoice_name(MSN, REFERENCE))


def post_again(stage: Stage, **changed: Any) -> None:
    """Let the merchant post the invoice that nobody here knows."""

    def create(book: Book) -> None:
        create_invoice(book, MSN, an_invoice(**changed), THE_MERCHANT)

    write(stage.context, create)


async def run(stage: Stage, is_done: Callable[[], bool], *, has_recoverer: bool = True) -> None:
    """Let a process work until something is true, and end it there."""
    stage.context.wake.bind()
    stop = asyncio.Event()
    parts = [CommandWorker(stage.context, stage.client, dice=Random(1)).run(stop)]
    if has_recoverer:
        parts.append(Recoverer(stage.context, stage.client).run(stop))
    tasks = [asyncio.create_task(part) for part in parts]
    try:
        await until(is_done)
    finally:
        stop.set()
        await asyncio.gather(*tasks)


def state_of(stage: Stage) -> str:
    """Return the state of the only invoice."""
    (invoice,) = stage.all(Invoice)
    return str(invoice.state)


def chain(stage: Stage) -> dict[str, str]:
    """Return the payments' states by reference."""
    return {row.reference: row.state for row in stage.all(Payment)}


async def is_at_vipps(stage: Stage, reference: str) -> bool:
    """Tell whether Vipps has a payment of this name."""
    return (await stage.vipps.get(f"/epayment/v1/payments/{reference}")).status_code == 200


async def test_invoice_posted_again_goes_on_with_the_payment_that_it_had(
    database: Database,
) -> None:
    """Who has approved already is not asked again, and I hear that it was paid."""
    async with open_stage(database) as stage:
        await make(stage, REFERENCE, lost_id(stage))
        await approve(stage, REFERENCE)

        post_again(stage)
        await run(stage, lambda: state_of(stage) == "authorized")

        assert chain(stage) == {REFERENCE: "authorized"}
        assert stage.all(Unread) == []
        assert not await is_at_vipps(stage, SECOND)


async def test_invoice_posted_again_gets_its_whole_chain_also_after_a_kill(
    database: Database,
) -> None:
    """The end of its first payment is not its own: the customer was asked anew, and has paid."""
    async with open_stage(database) as stage:
        await make(stage, REFERENCE, lost_id(stage))
        await withdraw(stage, REFERENCE)
        await make(stage, SECOND, lost_id(stage))
        await approve(stage, SECOND)

        post_again(stage)
        await run(stage, lambda: len(stage.all(Unread)) == 2, has_recoverer=False)
        before = state_of(stage), chain(stage)
        await run(stage, lambda: state_of(stage) == "authorized")

        assert before == ("created", {REFERENCE: "requested"})
        assert chain(stage) == {REFERENCE: "terminated", SECOND: "authorized"}
        assert not await is_at_vipps(stage, f"{REFERENCE}-3")


async def test_invoice_posted_again_with_another_amount_asks_nobody(database: Database) -> None:
    """Which of the two amounts is right only I can know; nobody pays both."""
    async with open_stage(database) as stage:
        await make(stage, REFERENCE, lost_id(stage), amount_minor=AMOUNT + 1)

        post_again(stage)
        await run(stage, lambda: chain(stage) == {REFERENCE: "refused"})

        (invoice,) = stage.all(Invoice)
        assert (invoice.state, invoice.problem["code"]) == ("created", "reference_taken")
        assert not await is_at_vipps(stage, SECOND)


async def test_invoice_withdrawn_while_its_chain_is_sought_is_withdrawn_at_vipps(
    database: Database,
) -> None:
    """What I ask meanwhile waits until it is known which payment it is about."""
    async with open_stage(database) as stage:
        await make(stage, REFERENCE, lost_id(stage))
        post_again(stage)
        await run(stage, lambda: len(stage.all(Unread)) == 2, has_recoverer=False)
        (invoice,) = stage.all(Invoice)
        write(stage.context, partial(_cancel, key=invoice.id))

        await run(stage, lambda: state_of(stage) == "terminated")

        assert chain(stage) == {REFERENCE: "terminated"}
        assert {row.status for row in stage.all(Command)} == {"done"}


def _cancel(book: Book, *, key: str) -> None:
    book.load([key])
    cancel(book, book.invoice(key), THE_MERCHANT)


def test_nothing_is_sent_for_an_invoice_that_is_sought_and_others_go_on(
    database: Database,
) -> None:
    """One lost invoice holds up itself alone, in a sales unit that is not recovering."""
    desk = a_desk(database)
    sought, other = desk.create(), desk.create(reference="acme-2026-000124")

    with database.transaction() as session:
        add_unread(session, sought.id, MSN)
        add_unread(session, sought.id, MSN)

    assert {one.invoice_id for one in claimed(desk)} == {other.id}


def test_reference_that_was_made_for_me_names_the_same_invoice_when_i_post_it(
    database: Database,
) -> None:
    """Whoever left naming to the service posts again by the name that it was told."""
    desk = a_desk(database)
    made = desk.write(lambda b: create_invoice(b, MSN, an_invoice(reference=None), THE_MERCHANT)[0])
    vault = desk.context.vault

    names = [vault.invoice_name(msn, made.reference) for msn in (MSN, "654321")]
    forged = f"{made.reference[:-1]}{'0' if made.reference[-1] != '0' else '1'}"

    assert name_part(named_id("inv", names[0])) == name_part(made.id)
    assert vault.invoice_name(MSN, forged) != named_bytes(forged)
    assert len({*names, vault.invoice_name(MSN, forged)}) == 3


def test_invoices_name_is_its_references_and_its_sales_units(database: Database) -> None:
    """A twin elsewhere, or another reference, is another invoice; each has an id of its own."""
    vault = a_desk(database).context.vault

    names = [
        vault.invoice_name(msn, reference)
        for msn, reference in ((MSN, REFERENCE), (MSN, SECOND), ("654321", REFERENCE))
    ]

    assert len({*names}) == 3
    assert names[0] == vault.invoice_name(MSN, REFERENCE)
