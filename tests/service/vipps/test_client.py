"""How Vipps is called: headers, deadlines, bounds, and tokens that end."""

import asyncio
from datetime import UTC, datetime
from urllib.parse import unquote

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.vipps.answer import ANSWER_BYTES_MAX
from service.vipps.bodies import modification_body
from service.vipps.client import VippsClient, VippsKeys, new_http
from tests.service.vipps.builders import REFERENCE, a_problem, some_keys
from tests.service.vipps.fake_vipps import BASE_URL, FakeVipps, a_reply

KEYS = some_keys()


@pytest.mark.anyio
async def test_call_carries_every_header_vipps_asks_for() -> None:
    """Vipps knows who calls, for which sales unit, with which system."""
    vipps = FakeVipps()

    await vipps.client().get_payment(KEYS, REFERENCE)

    headers = vipps.calls[0].headers
    assert headers["Authorization"] == "Bearer token-1"
    assert headers["Ocp-Apim-Subscription-Key"] == KEYS.subscription_key
    assert headers["Merchant-Serial-Number"] == KEYS.msn
    assert headers["Vipps-System-Name"] == headers["Vipps-System-Plugin-Name"] == "Betalbar"
    assert headers["Vipps-System-Version"] == headers["Vipps-System-Plugin-Version"]
    assert all(len(v) <= 30 for n, v in headers.items() if n.startswith("vipps-system"))


@pytest.mark.anyio
async def test_token_is_asked_for_with_the_keys_in_headers() -> None:
    """The keys go to the token's own endpoint, and the client secret nowhere else."""
    vipps = FakeVipps()

    await vipps.client().get_payment(KEYS, REFERENCE)

    asked = vipps.token_requests[0]
    assert (asked.method, asked.content) == ("POST", b"")
    assert asked.headers["client_id"] == KEYS.client_id
    assert asked.headers["client_secret"] == KEYS.client_secret
    assert KEYS.client_secret not in str(vipps.calls[0].headers)


@pytest.mark.anyio
async def test_command_carries_its_key_and_amount() -> None:
    """The same key and the same amount go out, however often it is tried."""
    vipps = FakeVipps()
    client = vipps.client()

    for _ in range(2):
        await client.modify_payment(
            KEYS,
            REFERENCE,
            act="refund",
            body=modification_body(5, "NOK"),
            idempotency_key="k-1",
        )

    assert [c.headers["Idempotency-Key"] for c in vipps.calls] == ["k-1", "k-1"]
    body = b'{"modificationAmount":{"currency":"NOK","value":5}}'
    assert [c.content for c in vipps.calls] == [body, body]


@pytest.mark.anyio
@pytest.mark.parametrize("flag", [True, False])
async def test_cancel_says_whether_approved_money_may_be_released(*, flag: bool) -> None:
    """Withdrawing a request never releases what the customer has approved."""
    vipps = FakeVipps()

    await vipps.client().cancel_payment(
        KEYS, REFERENCE, only_before_authorization=flag, idempotency_key="k"
    )

    assert vipps.calls[0].content == b'{"cancelTransactionOnly":%s}' % str(flag).lower().encode()


@pytest.mark.anyio
@pytest.mark.parametrize("reference", ["../../accesstoken/get", "a/b?c=d#e", "å b"])
async def test_reference_never_leaves_its_place_in_the_path(reference: str) -> None:
    """A reference is one part of the path, whatever is in it."""
    vipps = FakeVipps()

    await vipps.client().get_payment(KEYS, reference)

    path = vipps.calls[0].url.raw_path.decode()
    prefix = "/epayment/v1/payments/"
    assert path.startswith(prefix)
    assert unquote(path.removeprefix(prefix)) == reference


@pytest.mark.anyio
async def test_token_no_longer_taken_is_replaced_once() -> None:
    """A token that Vipps has dropped costs one more call, not the command."""
    vipps = FakeVipps(a_reply(401, {"statusCode": 401}), a_reply(200))

    answer = await vipps.client().get_payment(KEYS, REFERENCE)

    assert answer.status == 200
    tokens = [c.headers["Authorization"] for c in vipps.calls]
    assert tokens == ["Bearer token-1", "Bearer token-2"]


@pytest.mark.anyio
@pytest.mark.parametrize("status", [401, 403])
async def test_keys_no_longer_taken_are_tried_twice_only(status: int) -> None:
    """Wrong keys are not hammered at Vipps."""
    vipps = FakeVipps(a_reply(status, {"statusCode": status}))

    answer = await vipps.client().get_payment(KEYS, REFERENCE)

    assert answer.status == status
    assert (len(vipps.calls), len(vipps.token_requests)) == (2, 2)


@pytest.mark.anyio
async def test_403_with_a_code_is_an_answer_and_not_about_the_token() -> None:
    """What the sales unit is not approved for is not asked for twice."""
    vipps = FakeVipps(a_reply(403, a_problem(403, "5080")))

    answer = await vipps.client().create_payment(KEYS, {}, idempotency_key="k")

    assert (answer.status, answer.code, len(vipps.calls)) == (403, "5080", 1)


@pytest.mark.anyio
async def test_redirect_is_not_followed() -> None:
    """Keys and tokens go to Vipps's own address only."""
    vipps = FakeVipps(a_reply(302, headers={"Location": "https://evil.example/"}))

    answer = await vipps.client().get_payment(KEYS, REFERENCE)

    assert answer.status == 302
    assert {request.url.host for request in vipps.requests} == {"api.vipps.no"}


@pytest.mark.anyio
async def test_cookies_are_not_kept_from_call_to_call() -> None:
    """Nothing that Vipps sets for one sales unit is sent with another's calls."""
    vipps = FakeVipps(a_reply(200, headers={"Set-Cookie": "fpc=canary; Path=/"}))
    client = vipps.client()

    await client.get_payment(KEYS, REFERENCE)
    await client.get_payment(some_keys("654321"), REFERENCE)

    assert not any("cookie" in request.headers for request in vipps.requests)


@pytest.mark.anyio
async def test_retry_after_is_passed_on() -> None:
    """Vipps's wish to wait is passed on as seconds, from a number or a date."""
    date = "Sun, 22 Nov 2026 10:01:30 GMT"
    replies = [a_reply(429, headers={"Retry-After": text}) for text in ("7", date, "soon")]
    vipps = FakeVipps(*replies)
    client = vipps.client(now=lambda: datetime(2026, 11, 22, 10, 0, tzinfo=UTC))

    waits = [(await client.get_payment(KEYS, REFERENCE)).retry_after_s for _ in replies]

    assert waits == [7, 90, None]


class Endless(httpx.AsyncBaseTransport):
    """Answers with bytes for ever, one small chunk after another."""

    def __init__(self, chunk: bytes, gate: asyncio.Event | None = None) -> None:
        """Keep the chunk to repeat; with a gate, wait at it after the first one."""
        self.chunk = chunk
        self.gate = gate
        self.sent = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Give a token, and to anything else the endless answer."""
        if request.url.path == "/accesstoken/get":
            return await FakeVipps().handle_async_request(request)
        return httpx.Response(200, stream=_Stream(self))


class _Stream(httpx.AsyncByteStream):
    def __init__(self, source: Endless) -> None:
        self._source = source

    async def __aiter__(self):  # type: ignore[no-untyped-def] # httpx's own signature is a union
        while True:
            self._source.sent += len(self._source.chunk)
            yield self._source.chunk
            if self._source.gate is not None:
                await self._source.gate.wait()


@pytest.mark.anyio
async def test_endless_answer_is_cut_off() -> None:
    """An answer that never ends costs a bounded piece of memory."""
    source = Endless(b" " * 10_000)

    answer = await VippsClient(BASE_URL, new_http(source)).get_payment(KEYS, REFERENCE)

    assert answer.status is None
    assert source.sent <= ANSWER_BYTES_MAX + 10_000


@pytest.mark.anyio
async def test_dripping_answer_ends_at_the_deadline() -> None:
    """The deadline is for the whole call: an answer that drips does not stretch it."""
    source = Endless(b" ", asyncio.Event())

    client = VippsClient(BASE_URL, new_http(source), timeout_s=0.05)
    answer = await client.get_payment(KEYS, REFERENCE)

    assert answer.status is None
    assert 50 <= answer.latency_ms < 5000


@pytest.mark.anyio
@pytest.mark.parametrize(
    "error", [httpx.ConnectError("no"), httpx.ReadTimeout("no"), httpx.RemoteProtocolError("no")]
)
async def test_broken_connection_is_no_answer(error: httpx.HTTPError) -> None:
    """Whatever breaks on the way, the outcome is unknown, and nothing is raised."""

    def broken(request: httpx.Request) -> httpx.Response:
        raise error

    client = VippsClient(BASE_URL, new_http(httpx.MockTransport(broken)))
    answer = await client.get_payment(KEYS, REFERENCE)

    assert (answer.status, answer.body) == (None, {})


@given(
    st.sampled_from([200, 301, 404, 429]),
    st.binary(max_size=300),
    st.dictionaries(
        st.sampled_from(["Location", "Retry-After", "Set-Cookie", "Content-Encoding"]),
        st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40),
    ),
)
def test_answer_of_any_bytes_and_headers_raises_nothing(
    status: int, raw: bytes, headers: dict[str, str]
) -> None:
    """However odd an answer is, the worker goes on."""
    vipps = FakeVipps(a_reply(status, raw, headers=headers))

    answer = asyncio.run(vipps.client().get_payment(KEYS, REFERENCE))

    assert answer.status in (status, None)


def test_keys_in_a_log_show_no_secret() -> None:
    """Secrets are in no log."""
    shown = repr(KEYS)

    assert KEYS.client_secret not in shown
    assert KEYS.subscription_key not in shown


@pytest.mark.parametrize("field", ["msn", "client_id", "client_secret", "subscription_key"])
@pytest.mark.parametrize("value", ["", "søster", "a\r\nb", "a b"])
def test_keys_that_fit_no_header_are_refused_by_name(field: str, value: str) -> None:
    """A key pasted with a line break is found when it is entered, not when money waits."""
    given_keys = {
        "msn": "123456",
        "client_id": "id",
        "client_secret": "secret",
        "subscription_key": "key",
    }

    with pytest.raises(ValueError, match=field):
        VippsKeys(**(given_keys | {field: value}))
