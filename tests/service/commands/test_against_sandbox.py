"""Commands run against the sandbox, whose own record of effects is the judge (I6)."""

from collections import Counter

import pytest

from service.ledger.acts import cancel, capture, push, refund
from service.sandbox import SalesUnitKeys
from service.store.db import Database
from tests.builders import AMOUNT, MSN, ONLY_SQLITE, PHONE, REFERENCE
from tests.service.commands.play import is_held, playing
from tests.service.ledger.checks import broken_rules
from tests.service.vipps.builders import some_keys

pytestmark = pytest.mark.anyio


async def test_whole_life_of_an_invoice(database: Database) -> None:
    """Asked, approved, taken and given back: each once, and as Vipps has it."""
    async with playing(database) as play:
        play.desk.create(capture="automatic")
        await play.work()
        await play.approve()
        await play.work()
        play.desk.act(refund, amount_minor=500)
        await play.work()

        effects = await play.effects()

    assert play.desk.history() == [
        "create>created by api",
        "push>pushed by response",
        "authorize>authorized by poll",
        "capture>captured by poll",
        "refund>captured by poll",
    ]
    assert effects == [
        ("created", REFERENCE, AMOUNT),
        ("authorized", REFERENCE, AMOUNT),
        ("captured", REFERENCE, AMOUNT),
        ("refunded", REFERENCE, 500),
    ]
    assert {c.status for c in play.desk.commands()} == {"done"}


@pytest.mark.parametrize("seed", range(4))
async def test_nothing_happens_twice_whatever_goes_wrong(database: Database, seed: int) -> None:
    """With calls that fail, time out after acting, and workers that die: one effect each."""
    trouble = {"status429": 0.15, "status5xx": 0.15, "timeoutAfterActing": 0.25, "seed": seed}
    async with playing(database, seed) as play:
        play.crashes = 0.2
        await play.sandbox("PUT", "/chaos", trouble)
        play.desk.create()
        await play.work()
        await play.approve()
        await play.work()
        play.desk.act(capture, amount_minor=500)
        play.desk.act(capture, amount_minor=700)
        await play.work()
        play.desk.act(refund, amount_minor=300)
        play.desk.act(cancel)
        await play.work()

        effects = Counter(await play.effects())

    assert effects == {
        ("created", REFERENCE, AMOUNT): 1,
        ("authorized", REFERENCE, AMOUNT): 1,
        ("captured", REFERENCE, 500): 1,
        ("captured", REFERENCE, 700): 1,
        ("refunded", REFERENCE, 300): 1,
        ("cancelled", REFERENCE, AMOUNT - 1200): 1,
    }
    invoice = play.desk.invoice()
    assert (invoice.state, invoice.captured_minor, invoice.refunded_minor) == (
        "captured",
        1200,
        300,
    )
    assert broken_rules(database) == []


@pytest.mark.parametrize("seed", range(2))
async def test_asking_again_never_asks_twice_at_once(database: Database, seed: int) -> None:
    """However the calls fare, one request lives at a time, and the last one is approved."""
    trouble = {"status5xx": 0.2, "timeoutAfterActing": 0.3, "seed": seed}
    async with playing(database, seed) as play:
        play.crashes = 0.2
        await play.sandbox("PUT", "/chaos", trouble)
        play.desk.create()
        await play.work()
        play.desk.act(push)
        await play.work()
        await play.approve(f"{REFERENCE}-2")
        await play.work()

        effects = await play.effects()

    assert effects == [
        ("created", REFERENCE, AMOUNT),
        ("terminated", REFERENCE, AMOUNT),
        ("created", f"{REFERENCE}-2", AMOUNT),
        ("authorized", f"{REFERENCE}-2", AMOUNT),
    ]
    assert play.desk.invoice().authorized_by == play.desk.payment(f"{REFERENCE}-2").id


async def test_customer_faster_than_cancel_is_released(database: Database) -> None:
    """Withdrawn too late, the money is given free again."""
    async with playing(database) as play:
        play.desk.create()
        await play.work()
        await play.sandbox("POST", f"/payments/{REFERENCE}/approve")
        play.desk.act(cancel)
        await play.work()

        effects = await play.effects()

    assert play.desk.invoice().state == "cancelled"
    assert effects[-1] == ("cancelled", REFERENCE, AMOUNT)
    assert play.desk.invoice().problem is None


@ONLY_SQLITE
async def test_automatic_capture_waits_out_a_bank_that_is_away(database: Database) -> None:
    """Refused three times with 6280, all of the money is taken, once, when the bank is back."""
    async with playing(database) as play:
        play.desk.create(capture="automatic")
        await play.work()
        trouble = {"code": 6280, "times": 3}
        await play.sandbox("POST", f"/payments/{REFERENCE}/approve")
        await play.sandbox("POST", f"/payments/{REFERENCE}/fail-captures", trouble)
        play.desk.change(lambda book, _, payment: book.plan_read(payment))
        await play.work()

        effects = await play.effects()

    assert effects[-1] == ("captured", REFERENCE, AMOUNT)
    assert play.desk.invoice().state == "captured"
    assert play.desk.invoice().problem is None
    assert [c.status for c in play.desk.commands("capture")] == ["done"]
    assert broken_rules(database) == []


async def test_customer_without_the_app_leaves_the_link(database: Database) -> None:
    """Vipps can't ask this person: the invoice stays, with its reason."""
    async with playing(database) as play:
        await play.sandbox("PUT", f"/persons/{PHONE}", {"isUser": False})
        play.desk.create()
        await play.work()

    problem = play.desk.invoice().problem
    assert problem is not None and problem["code"] == "7010"
    assert play.desk.invoice().state == "created"


async def test_reference_taken_by_another_shop_gets_a_suffix(database: Database) -> None:
    """Two shops on one sales unit may think of the same reference."""
    async with playing(database) as play:
        body = {
            "amount": {"currency": "NOK", "value": 5_000},
            "paymentMethod": {"type": "WALLET"},
            "reference": REFERENCE,
            "userFlow": "WEB_REDIRECT",
            "returnUrl": "https://shop.example/",
            "paymentDescription": "Something else",
        }
        taken = await play.client.create_payment(some_keys(), body, idempotency_key="theirs")
        play.desk.create()
        await play.work()

        effects = await play.effects()

    assert taken.status == 201
    assert effects == [("created", REFERENCE, 5_000), ("created", f"{REFERENCE}-2", AMOUNT)]
    assert play.desk.invoice().state == "pushed"


async def test_wrong_keys_hold_the_sales_unit(database: Database) -> None:
    """Nothing fails for keys that a person must mend."""
    unit = SalesUnitKeys(MSN, "another-client", "another-secret", "another-key")
    async with playing(database, sales_units=(unit,)) as play:
        play.desk.create()
        await play.work()

        effects = await play.effects()

    assert effects == []
    assert is_held(play.desk)
    assert play.desk.invoice().state == "created"
    assert {c.status for c in play.desk.commands("create_payment")} == {"waiting"}
