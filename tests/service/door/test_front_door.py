"""Whoever is slow, large, or too many is shown out, and everybody else is served (T10, T11)."""

import asyncio
import ipaddress
import time
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from tests.fake_merchant import until
from tests.service.door.wire import PATIENT, QUICK, Hand, House, house, knock

pytestmark = pytest.mark.anyio

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"
HELD = b"POST /held HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


async def _drip(at: House, first: bytes, then: bytes) -> bytes:
    """Begin, then send a little again and again; return what comes of it."""
    async with await knock(at, first) as hand:
        answer = asyncio.create_task(hand.rest())
        while not answer.done():
            try:
                await hand.say(then)
            except ConnectionError:
                break
            await asyncio.sleep(0.05)
        return await answer


_SLOW = {
    "headers": (b"GET / HTTP/1.1\r\nHost: a\r\nX: ", b"a", b" 408 "),
    "many headers": (b"GET / HTTP/1.1\r\n", b"X: a\r\n", b" 408 "),
    "body": (POST.replace(b" 5", b" 5000"), b"a", b" 408 "),
    "chunks": (CHUNKED, b"1\r\na\r\n", b" 408 "),
    "chunk extensions": (CHUNKED + b"1;", b"a", b" 408 "),
    "trailers": (CHUNKED + b"0\r\n", b"X: a\r\n", b" 408 "),
    "silence": (b"", b"", b""),
    "empty lines": (b"\r\n", b"\r\n", b""),
    "empty lines after a request": (GET, b"\r\n", b" 200 "),
}


@pytest.mark.parametrize("how", _SLOW)
async def test_request_that_drips_is_ended(how: str) -> None:
    """Sending a little now and then puts no deadline off: the connection is ended."""
    first, then, answer = _SLOW[how]

    async with house(QUICK) as there:
        said = await _drip(there, first, then)

    assert answer in said
    assert said.count(b"HTTP/1.1") == (1 if answer else 0)


async def test_application_hears_that_a_slow_body_is_over() -> None:
    """Nothing goes on waiting for the rest of a body that was cut off."""
    async with house(QUICK) as there, await knock(there, POST + b"12") as hand:
        assert await hand.status() == 408

        await until(lambda: there.told_gone == 1)


async def test_body_that_comes_fast_may_take_longer() -> None:
    """A large document over a slow line is no attack: the deadline grows with what has come."""
    piece, pieces = b"x" * 256 * 1024, 4

    async with house(QUICK) as there:
        head = POST.replace(b" 5", b" %d" % (len(piece) * pieces))
        async with await knock(there, head) as hand:
            for _ in range(pieces):  # eight times as fast as it must be
                await hand.say(piece)
                await asyncio.sleep(0.25)

            assert await hand.status() == 200


async def test_connection_is_kept_between_requests_and_not_for_ever() -> None:
    """One connection carries many requests; one that is idle is ended without a word."""
    async with house(QUICK) as there, await knock(there) as hand:
        for _ in range(3):
            await hand.say(POST + b"12345")
            assert await hand.status() == 200

        assert await hand.rest() == b""
    assert len(there.scopes) == 3


_TOO_LARGE = {
    "a hundred and one headers": b"GET / HTTP/1.1\r\n" + b"X: a\r\n" * 101 + b"\r\n",
    "one header of 17 KiB": b"GET / HTTP/1.1\r\nX: " + b"a" * 17_000 + b"\r\n\r\n",
    "headers of 17 KiB together": b"GET / HTTP/1.1\r\n"
    + (b"X: " + b"a" * 170 + b"\r\n") * 99
    + b"\r\n",
    "an address of 17 KiB": b"GET /" + b"a" * 17_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
}


@pytest.mark.parametrize("what", _TOO_LARGE)
async def test_too_large_a_head_is_431(what: str) -> None:
    """Headers have a number and a size, and whoever is over is told so."""
    async with house(PATIENT) as there, await knock(there, _TOO_LARGE[what]) as hand:
        assert await hand.status() == 431
        assert await hand.rest() == b""
    assert there.scopes == []


async def test_hundred_headers_of_almost_16_kib_are_served() -> None:
    """What is just within the limits is as good as any other request."""
    head = b"GET / HTTP/1.1\r\n" + (b"X: " + b"a" * 150 + b"\r\n") * 100 + b"\r\n"

    async with house(PATIENT) as there, await knock(there, head) as hand:
        assert await hand.status() == 200


async def test_header_without_an_end_is_not_collected() -> None:
    """A line that never ends is cut off long before it fills the memory."""
    async with house(PATIENT) as there, await knock(there, b"GET / HTTP/1.1\r\nX: ") as hand:
        sent = 0
        with pytest.raises(ConnectionError):
            while sent < 50_000_000:
                await hand.say(b"a" * 65_536)
                sent += 65_536
    assert there.scopes == []


async def test_trailer_does_not_become_a_header() -> None:
    """What comes behind a body can't pretend to have been said before it."""
    body = b"1\r\na\r\n0\r\nAuthorization: Bearer bb_stolen\r\n\r\n"

    async with house(PATIENT) as there, await knock(there, CHUNKED + body) as hand:
        assert await hand.status() == 200

    assert b"authorization" not in dict(there.scopes[0]["headers"])


_NOT_HTTP = {
    "two lengths": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
    "a length and chunks": CHUNKED.replace(b"Host: a", b"Content-Length: 5"),
    "chunks that are not last": CHUNKED.replace(b"chunked", b"chunked, identity"),
    "a folded header": b"GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n",
    "a space before the colon": b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
    "a negative length": b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    "a zero in a header": b"GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
}


@pytest.mark.parametrize("what", _NOT_HTTP)
async def test_what_two_parsers_could_read_differently_is_400(what: str) -> None:
    """Nothing is served that a proxy in front may have taken for something else (T20)."""
    async with house(PATIENT) as there, await knock(there, _NOT_HTTP[what]) as hand:
        assert await hand.status() == 400
        assert await hand.rest() == b""
    assert there.scopes == []


async def test_offer_of_another_protocol_is_declined_and_the_connection_goes_on() -> None:
    """A client that offers HTTP/2 or a web socket gets HTTP/1.1, as often as it asks."""
    offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: %s\r\nHTTP2-Settings: AA\r\nHost: a"

    async with house(PATIENT) as there, await knock(there) as hand:
        for protocol in (b"h2c", b"websocket"):
            await hand.say(POST.replace(b"Host: a", offer % protocol) + b"12345")
            assert await hand.status() == 200


async def test_connection_beyond_those_of_an_address_is_503() -> None:
    """One address has so many connections; others are served all the same."""
    async with house(replace(PATIENT, per_address=3)) as there:
        kept = [await knock(there) for _ in range(3)]

        with capture_logs() as logs:
            async with await knock(there, GET) as one_too_many:
                said = await one_too_many.rest()
            async with await knock(there, GET, source="127.0.0.2") as other:
                assert await other.status() == 200
            await until(lambda: bool(logs))
        await kept.pop().drop()
        kept.append(await _let_in(there))

        for hand in kept:
            await hand.drop()

    assert said.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: " in said
    assert b'"code":"overloaded"' in said
    assert logs[0]["reason"] == "too many from one address"


async def _let_in(there: House) -> Hand:
    """Knock until there is room; return the hand that was served."""
    while True:
        hand = await knock(there, GET)
        if await hand.status() == 200:
            return hand
        await hand.drop()
        await asyncio.sleep(0.05)


async def test_connections_of_a_trusted_proxy_stand_for_many() -> None:
    """Whoever is named as a proxy brings everybody, and is not counted as one."""
    proxies = (ipaddress.ip_network("127.0.0.0/8"),)

    async with house(replace(PATIENT, per_address=1, uncounted=proxies)) as there:
        hands = [await knock(there, GET) for _ in range(5)]

        assert [await hand.status() for hand in hands] == [200] * 5
        for hand in hands:
            await hand.drop()


async def test_newcomer_takes_the_place_of_who_has_long_had_no_request() -> None:
    """Ten thousand silent connections keep nobody out: the oldest of them gives way (T11)."""
    limits = replace(PATIENT, connections=3)

    async with house(limits) as there, await knock(there, HELD) as served:
        await until(lambda: len(there.scopes) == 1)
        silent = [await knock(there), await knock(there)]
        async with await knock(there, GET) as too_soon:
            assert await too_soon.status() == 503
        async with await _let_in(there):
            assert await silent[0].rest() == b""
        there.release.set()

        assert await served.status() == 200
        await silent[1].drop()
        await silent[0].drop()


async def test_webhook_that_can_not_be_answered_in_time_is_503() -> None:
    """Vipps hears before it gives up that it shall try again, and the work goes on."""
    asked = b"POST /webhooks/vipps/1 HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}"

    async with house(QUICK) as there, await knock(there, asked) as hand:
        said = await hand.rest()

    assert said.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: " in said
    assert len(there.scopes) == 1
    assert there.told_gone == 0


async def test_webhook_that_waited_to_be_read_is_answered_earlier() -> None:
    """The time in which the process was busy elsewhere is not given to it once more."""
    busy_s = answer_s = 1.0
    loop = asyncio.get_running_loop()

    limits = replace(PATIENT, answer_s=answer_s)
    async with house(limits) as there, await knock(there, GET) as hand:
        assert await hand.status() == 200
        hand.writer.write(b"POST /webhooks/vipps/1 HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}")
        time.sleep(busy_s)  # noqa: ASYNC251 # nothing else is done meanwhile
        read_at = loop.time()

        assert await hand.status() == 503

    assert loop.time() - read_at < answer_s


async def test_other_calls_may_be_answered_late() -> None:
    """A call that waits for Vipps, as `?wait=30` does, is not hurried."""
    async with house(QUICK) as there, await knock(there, HELD) as slow:
        async with await knock(there) as silent:
            assert await silent.rest() == b""  # by now every deadline is over
        there.release.set()

        assert await slow.status() == 200


async def test_answer_that_nobody_takes_is_thrown_away() -> None:
    """Whoever asks for much and reads none of it does not make us keep it."""
    async with house(QUICK) as there:
        async with await knock(there) as hand:
            hand.writer.transport.pause_reading()  # type: ignore[attr-defined]
            await hand.say(GET.replace(b"/ ", b"/big "))
            with capture_logs() as logs:
                await until(lambda: bool(logs))
        assert logs[0]["reason"] == "took no answer"


async def test_requests_in_one_piece_are_answered_in_turn() -> None:
    """A client that does not wait for answers gets them all, in its order."""
    asked = b"".join(POST.replace(b" 5", b" %d" % n) + b"x" * n for n in range(1, 6))

    async with house(QUICK) as there, await knock(there, asked) as hand:
        said = await hand.rest()

    assert [part[-1:] for part in said.split(b"HTTP/1.1 200 OK")[1:]] == [
        b"1",
        b"2",
        b"3",
        b"4",
        b"5",
    ]
