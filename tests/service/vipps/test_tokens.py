"""Access tokens: one at a time, renewed in time, never shown."""

import asyncio
from typing import Any

import pytest

from service.vipps.answer import Answer
from service.vipps.exchange import Exchange, new_http
from service.vipps.tokens import AccessToken, Tokens
from tests.service.vipps.builders import REFERENCE, some_keys
from tests.service.vipps.fake_vipps import BASE_URL, FakeVipps, a_reply

KEYS = some_keys()


@pytest.mark.anyio
async def test_token_is_asked_for_once_by_twenty_calls_at_once() -> None:
    """Twenty commands that start together need one token."""
    vipps = FakeVipps()
    vipps.token_gate = asyncio.Event()
    client = vipps.client()

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(client.get_payment(KEYS, REFERENCE)) for _ in range(20)]
        await vipps.token_asked.wait()
        vipps.token_gate.set()

    assert {task.result().status for task in tasks} == {200}
    assert (len(vipps.token_requests), len(vipps.calls)) == (1, 20)


@pytest.mark.anyio
async def test_token_that_cannot_be_had_fails_twenty_calls_with_one_request() -> None:
    """Twenty commands that wait for a refused token share the refusal."""
    vipps = FakeVipps()
    vipps.token_gate = asyncio.Event()
    vipps.token_reply = a_reply(503, b"")
    client = vipps.client()

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(client.get_payment(KEYS, REFERENCE)) for _ in range(20)]
        await vipps.token_asked.wait()
        vipps.token_gate.set()

    assert {task.result().status for task in tasks} == {503}
    assert (len(vipps.token_requests), len(vipps.calls)) == (1, 0)


@pytest.mark.anyio
async def test_token_dropped_by_twenty_calls_at_once_is_renewed_once() -> None:
    """When Vipps drops a token, twenty commands get one new one between them."""
    refusals = [a_reply(401, {"statusCode": 401})] * 20
    vipps = FakeVipps(*refusals, a_reply(200))
    client = vipps.client()

    calls = [client.get_payment(KEYS, REFERENCE) for _ in range(20)]
    answers = await asyncio.gather(*calls)

    assert {answer.status for answer in answers} == {200}
    assert (len(vipps.token_requests), len(vipps.calls)) == (2, 40)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("expires_in", "used_s", "requests"),
    [
        ("3600", 3239, 1),
        ("3600", 3240, 2),  # a tenth of an hour before its end
        (3600, 3240, 2),
        ("300", 239, 1),
        ("300", 240, 2),  # a minute before its end
        ("30", 0, 2),
        ("999999999", 77_760, 2),  # never kept beyond a day
    ],
)
async def test_token_is_renewed_before_it_ends(
    expires_in: object, used_s: float, requests: int
) -> None:
    """A token is never used in its last tenth, nor in its last minute."""
    vipps = FakeVipps()
    vipps.token_body["expires_in"] = expires_in
    client = vipps.client()

    await client.get_payment(KEYS, REFERENCE)
    vipps.seconds += used_s
    await client.get_payment(KEYS, REFERENCE)

    assert len(vipps.token_requests) == requests


@pytest.mark.anyio
async def test_token_of_one_sales_unit_is_not_used_for_another() -> None:
    """Each sales unit has its own token."""
    vipps = FakeVipps()
    client = vipps.client()

    await client.get_payment(KEYS, REFERENCE)
    await client.get_payment(some_keys("654321"), REFERENCE)

    used = [(c.headers["Merchant-Serial-Number"], c.headers["Authorization"]) for c in vipps.calls]
    assert used == [("123456", "Bearer token-1"), ("654321", "Bearer token-2")]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("asked", "answered"), [(400, 401), (401, 401), (403, 401), (404, 401), (429, 429), (500, 500)]
)
async def test_token_that_is_refused_says_nothing_of_the_payment(asked: int, answered: int) -> None:
    """Wrong keys never look like a refused or an unknown payment."""
    vipps = FakeVipps()
    vipps.token_reply = a_reply(asked, {"title": "No", "traceId": "t"})

    answer = await vipps.client().get_payment(KEYS, REFERENCE)

    assert (answer.status, answer.code, len(vipps.calls)) == (answered, None, 0)


@pytest.mark.anyio
@pytest.mark.parametrize(
    "changes",
    [
        {"access_token": None},
        {"access_token": ""},
        {"access_token": "a\r\nX-Evil: 1"},
        {"access_token": "søster"},
        {"access_token": "a" * 9000},
        {"expires_in": None},
        {"expires_in": "an hour"},
        {"expires_in": -1},
        {"expires_in": True},
        {"expires_in": 3600.5},
    ],
)
async def test_token_that_cannot_be_used_is_no_answer(changes: dict[str, Any]) -> None:
    """A token that fits no header, or lives for no known time, is not sent."""
    vipps = FakeVipps()
    vipps.token_body |= changes

    answer = await vipps.client().get_payment(KEYS, REFERENCE)

    assert (answer.status, answer.body, len(vipps.calls)) == (None, {}, 0)


@pytest.mark.anyio
async def test_token_outlives_the_call_that_asked_for_it() -> None:
    """A command that gives up waiting does not take the token from the next one."""
    vipps = FakeVipps()
    vipps.token_gate = asyncio.Event()
    client = vipps.client(timeout_s=0.01)

    gave_up = await client.get_payment(KEYS, REFERENCE)
    vipps.token_gate.set()
    answer = await client.get_payment(KEYS, REFERENCE)

    assert (gave_up.status, answer.status, len(vipps.token_requests)) == (None, 200, 1)


@pytest.mark.anyio
async def test_token_that_never_comes_is_given_up_and_asked_for_again() -> None:
    """One lost answer does not block a sales unit for ever."""
    vipps = FakeVipps()
    vipps.token_gate = asyncio.Event()
    tokens = Tokens(Exchange(BASE_URL, new_http(vipps)), timeout_s=0.01)

    lost = await tokens.get(KEYS)
    vipps.token_gate.set()
    found = await tokens.get(KEYS)

    assert isinstance(lost, Answer)
    assert lost.status is None
    assert isinstance(found, AccessToken)


@pytest.mark.anyio
async def test_token_in_a_log_is_not_shown() -> None:
    """Tokens are in no log."""
    vipps = FakeVipps()

    token = await Tokens(Exchange(BASE_URL, new_http(vipps))).get(KEYS)

    assert isinstance(token, AccessToken)
    assert token.text not in repr(token)
