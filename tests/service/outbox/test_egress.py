"""What leaves towards a subscriber, and what of its answer is let in."""

import asyncio
import gzip

import pytest

from service.outbox.destinations import PLACES_MAX
from service.outbox.egress import ANSWER_BYTES_MAX, Egress, Reply, open_egress
from tests.fake_merchant import Answer, FakeMerchant, Received, serve
from tests.service.outbox.wire import LOOPBACK, Names, Wire, raw_server, saying

pytestmark = pytest.mark.anyio

_OK = b"HTTP/1.1 200 OK\r\n"


async def _post(egress: Egress, url: str) -> Reply:
    return await egress.post(url, headers={"content-type": "application/json"}, body=b"{}")


async def test_post_to_a_receiver_delivers_exactly_the_bytes() -> None:
    """What I get is what was signed, under my own host name and without any coding."""
    merchant = FakeMerchant()

    async with serve(merchant) as url, open_egress(allow=LOOPBACK, resolve=_loopback()) as egress:
        named = url.replace("127.0.0.1", "shop.example")
        reply = await egress.post(f"{named}/in?a=b%20c", headers={"x-a": "1"}, body=b'{"a": 1}')

    received = merchant.received[0]
    assert (reply.status, reply.error, reply.is_accepted) == (204, None, True)
    assert received.body == b'{"a": 1}'
    assert received.headers["host"] == named.removeprefix("http://")
    assert received.headers["accept-encoding"] == "identity"
    assert received.headers["x-a"] == "1"


async def test_post_many_at_once_keeps_its_connections() -> None:
    """A burst of events reaches me over a few connections, not over hundreds."""
    merchant = FakeMerchant()
    names, places = _loopback(), asyncio.Semaphore(PLACES_MAX)

    async with serve(merchant) as url, open_egress(allow=LOOPBACK, resolve=names) as egress:
        named = url.replace("127.0.0.1", "shop.example")

        async def post() -> Reply:
            async with places:  # as those who send do: what waits long for a place is put off
                return await _post(egress, named)

        replies = await asyncio.gather(*(post() for _ in range(300)))

    assert all(reply.is_accepted for reply in replies)
    assert len(merchant.received) == 300
    assert len(names.asked) <= 32


async def test_post_redirected_elsewhere_is_not_followed() -> None:
    """A redirect is an answer that is not 2xx, and nobody else gets my customer's data."""
    merchant = FakeMerchant()
    merchant.react = _redirect

    async with serve(merchant) as url, open_egress(allow=LOOPBACK) as egress:
        reply = await _post(egress, f"{url}/old")

    assert (reply.status, reply.is_accepted) == (307, False)
    assert [received.path for received in merchant.received] == ["/old"]


async def test_post_answered_with_retry_after_hands_it_on() -> None:
    """What I ask for in Retry-After is seen, however long it is."""
    merchant = FakeMerchant()
    merchant.react = _too_busy

    async with serve(merchant) as url, open_egress(allow=LOOPBACK) as egress:
        reply = await _post(egress, url)

    assert (reply.status, reply.retry_after, reply.answer) == (429, "7" * 64, b"slowly")


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"])
async def test_post_with_a_proxy_in_the_environment_goes_past_it(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy set for other programs never sees an event."""
    merchant, proxy = FakeMerchant(), FakeMerchant()

    async with serve(merchant) as url, serve(proxy) as proxy_url:
        monkeypatch.setenv(variable, proxy_url)
        monkeypatch.setenv(variable.lower(), proxy_url)
        async with open_egress(allow=LOOPBACK) as egress:
            reply = await _post(egress, url)

    assert reply.is_accepted
    assert (len(merchant.received), len(proxy.received)) == (1, 0)


async def test_post_answered_with_a_gzip_bomb_keeps_it_packed() -> None:
    """An answer is never unpacked, whatever it claims to be."""
    packed = gzip.compress(b"\0" * 5_000_000)
    head = b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(packed)

    async with (
        raw_server(saying(_OK, head, packed)) as port,
        open_egress(allow=LOOPBACK) as egress,
    ):
        reply = await _post(egress, f"http://127.0.0.1:{port}/")

    assert (reply.status, reply.error) == (200, None)
    assert reply.answer == packed[:ANSWER_BYTES_MAX]


async def test_post_answered_without_end_is_cut_short() -> None:
    """An endless answer costs a few kilobytes and no time; its status counts."""
    endless = saying(_OK, b"\r\n", forever=b"x" * 4096)

    async with raw_server(endless) as port, open_egress(allow=LOOPBACK) as egress:
        reply = await _post(egress, f"http://127.0.0.1:{port}/")

    assert (reply.status, reply.error, len(reply.answer)) == (200, None, ANSWER_BYTES_MAX)
    assert reply.latency_ms < 5_000


async def test_post_answered_drop_by_drop_ends_at_the_deadline() -> None:
    """A dripping answer can't hold a place beyond the total time; its status counts."""
    dripping = saying(_OK, b"\r\n", forever=b".", pause_s=0.02)

    async with raw_server(dripping) as port, open_egress(allow=LOOPBACK, total_s=0.3) as egress:
        reply = await _post(egress, f"http://127.0.0.1:{port}/")

    assert (reply.status, reply.error, reply.is_accepted) == (200, "timeout", True)
    assert 250 <= reply.latency_ms < 3_000


@pytest.mark.parametrize(
    "wire",
    [
        pytest.param(saying(_OK, forever=b"x-a: " + b"y" * 90 + b"\r\n"), id="endless headers"),
        pytest.param(saying(_OK, b"x-a: ", forever=b"y" * 4096), id="endless header"),
        pytest.param(saying(b"SSH-2.0-OpenSSH_9.2\r\n"), id="not HTTP"),
    ],
)
async def test_post_answered_with_no_http_is_a_protocol_error(wire: Wire) -> None:
    """Headers without end, or something else than HTTP, end at once."""
    async with raw_server(wire) as port, open_egress(allow=LOOPBACK) as egress:
        reply = await _post(egress, f"http://127.0.0.1:{port}/")

    assert (reply.status, reply.error) == (None, "protocol")
    assert reply.latency_ms < 5_000


@pytest.mark.parametrize(
    "wire",
    [
        pytest.param(saying(forever=b"HTTP/1.1 100 Continue\r\n\r\n", pause_s=0.001), id="1xx"),
        pytest.param(saying(forever=b"", pause_s=0), id="nothing, then closed"),
    ],
)
async def test_post_never_really_answered_is_an_error(wire: Wire) -> None:
    """A flood of 1xx, or silence, is no answer."""
    async with raw_server(wire) as port, open_egress(allow=LOOPBACK, total_s=0.3) as egress:
        reply = await _post(egress, f"http://127.0.0.1:{port}/")

    assert reply.status is None
    assert reply.error in ("timeout", "disconnected")
    assert reply.latency_ms < 3_000


async def test_post_cut_off_in_the_body_counts_the_status() -> None:
    """I said 200 and then fell over: the event is not sent to me twice."""
    async with (
        raw_server(saying(_OK, b"content-length: 10\r\n\r\nabc")) as port,
        open_egress(allow=LOOPBACK) as egress,
    ):
        reply = await _post(egress, f"http://127.0.0.1:{port}/")

    assert (reply.status, reply.error, reply.answer) == (200, "protocol", b"abc")
    assert reply.is_accepted


async def test_post_to_a_closed_port_is_refused() -> None:
    """The log says in one word that nobody listens."""
    async with raw_server(saying()) as port:
        pass

    async with open_egress(allow=LOOPBACK) as egress:
        reply = await _post(egress, f"http://127.0.0.1:{port}/")

    assert (reply.status, reply.error) == (None, "refused")


def _loopback() -> Names:
    return Names(["127.0.0.1"])


async def _redirect(_received: Received) -> Answer:
    return Answer(307, {"location": "/new"})


async def _too_busy(_received: Received) -> Answer:
    return Answer(429, {"retry-after": "7" * 100}, b"slowly")
