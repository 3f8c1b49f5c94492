"""Commands run against the sandbox, whose own record of effects is the judge (I6)."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random
from typing import Any

import httpx
import pytest
from sqlmodel import col

from service.commands.run import run
from service.ledger.acts import cancel, capture, push, refund
from service.sandbox import Clock, SalesUnitKeys, SandboxSettings, create_app
from service.store.db import Database
from service.store.tables import Command, SalesUnit
from service.vipps import VippsClient, new_http
from tests.builders import AMOUNT, BASE_URL, MSN, PHONE, REFERENCE, Desk, a_desk
from tests.service.commands.running import claimed, settled
from tests.service.ledger.checks import broken_rules
from tests.service.vipps.builders import some_keys

pytestmark = pytest.mark.anyio

ROUNDS_MAX = 400


@dataclass(slots=True)
class Play:
    """A service, a sandbox, and a worker whose waits take no time."""

    desk: Desk
    http: httpx.AsyncClient
    client: VippsClient
    dice: Random
    crashes: float = 0.0  # the share of commands whose worker dies with the answer in hand

    async def work(self) -> None:
        """Run commands until none is open, or all wait for keys; waits take no time."""
        for _ in range(ROUNDS_MAX):
            has_run = await self._run_due()
            open_ones = self.desk.all(Command, col(Command.status).in_(("waiting", "running")))
            if not open_ones or _is_held(self.desk):
                return
            next_at = min(one.next_attempt_at for one in open_ones)
            self.desk.times.append(max(self.desk.now(), next_at))
            if not has_run:
                self.desk.later(seconds=30)  # what is due waits for Vipps's limit on writes
        pytest.fail(f"still busy after {ROUNDS_MAX} rounds")

    async def _run_due(self) -> bool:
        ran = []
        found = claimed(self.desk)
        for one in found:
            now = self.desk.now()
            result = await run(self.client, one, base_url=BASE_URL, dice=self.dice, now=now)
            if self.dice.random() >= self.crashes:
                ran.append(result)
        if ran:
            settled(self.desk, *ran)
        return bool(found)

    async def sandbox(self, method: str, path: str, body: Any = None) -> Any:
        """Call the sandbox's own API."""
        answer = await self.http.request(method, f"{BASE_URL}/sandbox{path}", json=body or {})
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def approve(self, reference: str = REFERENCE) -> None:
        """Let the customer approve; a read will find it."""
        await self.sandbox("POST", f"/payments/{reference}/approve")
        self.desk.change(lambda book, _, payment: book.plan_read(payment), reference)

    async def effects(self) -> list[tuple[str, str, int]]:
        """Return what really happened at Vipps: what, to which payment, and how much."""
        items = (await self.sandbox("GET", "/effects"))["items"]
        return [(i["effect"], i["reference"], i["amount"]["value"]) for i in items]


def _is_held(desk: Desk) -> bool:
    return desk.all(SalesUnit)[0].held_since is not None


@asynccontextmanager
async def _playing(database: Database, seed: int = 0, **settings: Any) -> AsyncIterator[Play]:
    desk = a_desk(database)
    shape = {"public_url": BASE_URL, "has_rate_limits": False, "silence_s": 0.01, **settings}
    sandbox = create_app(SandboxSettings(**shape), clock=Clock(desk.now))
    transport = httpx.ASGITransport(sandbox)
    async with new_http(transport) as http:
        yield Play(desk, http, VippsClient(BASE_URL, http), Random(seed))


async def test_whole_life_of_an_invoice(database: Database) -> None:
    """Asked, approved, taken and given back: each once, and as Vipps has it."""
    async with _playing(database) as play:
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
    async with _playing(database, seed) as play:
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
    async with _playing(database, seed) as play:
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
    async with _playing(database) as play:
        play.desk.create()
        await play.work()
        await play.sandbox("POST", f"/payments/{REFERENCE}/approve")
        play.desk.act(cancel)
        await play.work()

        effects = await play.effects()

    assert play.desk.invoice().state == "cancelled"
    assert effects[-1] == ("cancelled", REFERENCE, AMOUNT)
    assert play.desk.invoice().problem is None


async def test_customer_without_the_app_leaves_the_link(database: Database) -> None:
    """Vipps can't ask this person: the invoice stays, with its reason."""
    async with _playing(database) as play:
        await play.sandbox("PUT", f"/persons/{PHONE}", {"isUser": False})
        play.desk.create()
        await play.work()

    problem = play.desk.invoice().problem
    assert problem is not None and problem["code"] == "7010"
    assert play.desk.invoice().state == "created"


async def test_reference_taken_by_another_shop_gets_a_suffix(database: Database) -> None:
    """Two shops on one sales unit may think of the same reference."""
    async with _playing(database) as play:
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
    async with _playing(database, sales_units=(unit,)) as play:
        play.desk.create()
        await play.work()

        effects = await play.effects()

    assert effects == []
    assert _is_held(play.desk)
    assert play.desk.invoice().state == "created"
    assert {c.status for c in play.desk.commands("create_payment")} == {"waiting"}
