"""Paying by link against the sandbox: the number that is shared, late or refused; no push."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import httpx
import orjson
import pytest

from service.ledger.acts import push
from service.ledger.people import open_person
from service.ledger.sharing import note_choice, was_refused
from service.sandbox import Clock, SandboxSettings, create_app
from service.store.db import Database
from service.store.tables import Customer, Payment
from service.vipps import VippsClient, new_http
from tests.builders import BASE_URL, MSN, PHONE, REFERENCE, a_desk
from tests.service.commands.play import Play

pytestmark = pytest.mark.anyio


class _Reticent(httpx.ASGITransport):
    """A Vipps whose payments do not tell what was shared; only its Userinfo does."""

    userinfo_calls = 0
    takes_subscription_key = True

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Leave `userDetails` out of every payment."""
        if "userinfo" in request.url.path:
            self.userinfo_calls += 1
            has_key = "Ocp-Apim-Subscription-Key" in request.headers
            if has_key and not self.takes_subscription_key:
                return _response(401, {"statusCode": 401, "message": "no"})
        answer = await super().handle_async_request(request)
        if request.method != "GET" or "/payments/" not in request.url.path:
            return answer
        body = orjson.loads(await answer.aread())
        if isinstance(body, dict):
            body.pop("userDetails", None)
        return _response(answer.status_code, body)


def _response(status: int, body: Any) -> httpx.Response:
    return httpx.Response(status, stream=httpx.ByteStream(orjson.dumps(body)))


@asynccontextmanager
async def _playing(
    database: Database, reticent: bool = False, **settings: Any
) -> AsyncIterator[tuple[Play, Any]]:
    desk = a_desk(database)
    shape = {"public_url": BASE_URL, "has_rate_limits": False, "silence_s": 0.01, **settings}
    sandbox = create_app(SandboxSettings(**shape), clock=Clock(desk.now))
    transport = (_Reticent if reticent else httpx.ASGITransport)(sandbox)
    async with new_http(transport) as http:
        yield Play(desk, http, VippsClient(BASE_URL, http), Random(0)), transport


async def _click(play: Play, wording: str | None = "2026-11") -> str:
    """Let the customer click on the page; return the payment's reference."""
    play.desk.act(lambda book, invoice, _: note_choice(book, invoice, wording))
    play.desk.act(
        lambda book, invoice, ask: push(book, invoice, ask, user_flow="WEB_REDIRECT"),
        source="customer",
    )
    await play.work()
    reference: str = play.desk.all(Payment)[-1].reference
    return reference


def _by_link(play: Play) -> None:
    play.desk.create(phone_number=None, flow="WEB_REDIRECT")


async def test_shared_number_serves_the_next_push(database: Database) -> None:
    """Pay once by link, and the next invoice comes into the app."""
    async with _playing(database) as (play, _):
        _by_link(play)
        await play.approve(await _click(play))
        await play.work()
        customer = play.desk.all(Customer)[0]

        play.desk.create(reference="acme-2026-000124", phone_number=None, customer_id=customer.id)
        await play.work()

        assert play.desk.invoice().customer_id == customer.id
        assert play.desk.invoice().state == "authorized"
        assert play.desk.invoice("acme-2026-000124").state == "pushed"


@pytest.mark.parametrize("takes_key", [True, False])
async def test_number_that_the_payment_does_not_tell_comes_from_userinfo(
    database: Database, takes_key: bool
) -> None:
    """Written late, and with or without the subscription key: it is asked for until it is there."""
    async with _playing(database, reticent=True, userinfo_delay_s=0.2) as (play, transport):
        transport.takes_subscription_key = takes_key
        _by_link(play)
        await play.approve(await _click(play))

        await play.work()

        person = open_person(play.desk.all(Customer)[0], play.desk.context.vault)
        assert person is not None and person.phone_number is not None
        assert play.desk.invoice().customer_id == play.desk.all(Customer)[0].id
        assert transport.userinfo_calls > 1


async def test_refusing_to_share_leaves_paying_without(database: Database) -> None:
    """The payment that asked is over; the next one asks for nothing, and can be paid."""
    async with _playing(database) as (play, _):
        _by_link(play)
        refused = await _click(play)
        await play.sandbox("POST", f"/payments/{refused}/reject")
        play.desk.change(lambda book, _, payment: book.plan_read(payment), refused)
        await play.work()
        assert was_refused(play.desk.all(Payment))

        await play.approve(await _click(play, None))
        await play.work()

        assert play.desk.invoice().state == "authorized"
        assert play.desk.all(Customer) == []


@pytest.mark.parametrize(
    ("refuses", "change", "code", "is_asked"),
    [
        (f"/persons/{PHONE}", {"isUser": False}, "7010", False),
        (f"/sales-units/{MSN}", {"push": False}, "5080", False),
        (f"/sales-units/{MSN}", {"longLiving": False}, None, True),
        (f"/sales-units/{MSN}", {"longLiving": False, "push": False}, "5080", False),
    ],
)
async def test_refused_push_leaves_the_link_and_says_why(
    database: Database, refuses: str, change: dict[str, Any], code: str | None, is_asked: bool
) -> None:
    """Whom Vipps can't ask can still pay by the link, and I read why."""
    async with _playing(database) as (play, _):
        await play.sandbox("PUT", refuses, change)
        play.desk.create()
        await play.work()

        problem = play.desk.invoice().problem
        assert (problem or {}).get("code") == code
        assert play.desk.invoice().state == ("pushed" if is_asked else "created")
        if is_asked:
            return
        assert play.desk.told()[-1]["type"] == "invoice.needs_attention"
        assert play.desk.told()[-1]["data"]["invoice"]["problem"]["detail"]

        await play.sandbox("PUT", f"/persons/{PHONE}", {"isUser": True})
        await play.approve(await _click(play))
        await play.work()

        assert play.desk.invoice().state == "authorized"
        assert play.desk.invoice().reference == REFERENCE
