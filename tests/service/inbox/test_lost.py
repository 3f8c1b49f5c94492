"""What Vipps reports of invoices that a restore has lost is kept, and told apart from others'."""

import pytest

from service.ids import named_id
from service.inbox.lost import find_lost
from service.ledger.book import write
from service.ledger.record import record
from service.store.db import Database
from service.store.tables import StoredVippsEvent
from service.vipps import VippsKeys
from statemachine import Outcome
from tests.builders import AMOUNT, MSN, REFERENCE, a_vipps_event, received
from tests.service.commands.test_lost import chain, post_again, run
from tests.service.commands.test_reconciling import approve
from tests.service.commands.test_seeking import make
from tests.service.inbox.stage import Stage, open_stage

pytestmark = pytest.mark.anyio

SECOND, OTHERS = f"{REFERENCE}-2", "another-shop-1"
KEYS = VippsKeys(msn=MSN, client_id="id", client_secret="s", subscription_key="k")


def hear(stage: Stage, *references: str) -> list[Outcome]:
    """Take in a genuine webhook of each of these payments."""
    bodies = [a_vipps_event(reference=reference) for reference in references]
    batch = [received(body, at=stage.context.clock.now()) for body in bodies]
    return write(stage.context, lambda book: record(book, batch))


async def test_lost_invoices_are_told_apart_from_another_shops(database: Database) -> None:
    """I am told which of my invoices are to be posted again; then there are none any more."""
    async with open_stage(database) as stage:
        ours = named_id("inv", stage.context.vault.invoice_name(MSN, REFERENCE))
        await make(stage, REFERENCE, ours)
        await make(stage, SECOND, ours)
        await make(stage, OTHERS, "inv_01JD0000000000000000000000")
        await approve(stage, SECOND)
        outcomes = hear(stage, REFERENCE, OTHERS, "gone-at-vipps", SECOND)

        found = await find_lost(stage.context, stage.client, KEYS)
        kept = [bool(row.raw) for row in stage.all(StoredVippsEvent)]
        post_again(stage)
        await run(stage, lambda: chain(stage).get(SECOND) == "authorized")
        after = await find_lost(stage.context, stage.client, KEYS)

    assert outcomes == [Outcome.UNMATCHED] * 4 and kept == [True] * 4
    assert [(one.reference, one.state, one.amount_minor) for one in found.lost] == [
        (SECOND, "AUTHORIZED", AMOUNT),
        (REFERENCE, "CREATED", AMOUNT),
    ]
    assert (found.others, found.unasked) == (2, 0)
    assert (after.lost, after.others, after.unasked) == ((), 2, 0)
