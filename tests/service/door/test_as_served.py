"""The front door as `betalbar serve` sets it up."""

import pytest

from service.cli.serving import front_door
from service.settings import load_settings
from tests.service.door.wire import House, knock, served

pytestmark = pytest.mark.anyio

NAMED = b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6, %s\r\nConnection: close\r\n\r\n"

_BELIEVED = {
    "nobody is, unless set": ("", b"8.8.8.8", "127.0.0.1"),
    "another network": ("10.0.0.0/8", b"8.8.8.8", "127.0.0.1"),
    "the proxy": ("127.0.0.1", b"8.8.8.8", "8.8.8.8"),
    "a proxy before the proxy": ("127.0.0.1, 10.0.0.0/8", b"8.8.8.8, 10.1.2.3", "8.8.8.8"),
}


@pytest.mark.parametrize("who", _BELIEVED)
async def test_forwarded_address_is_believed_from_trusted_proxies_only(who: str) -> None:
    """Anybody can write a header: it counts where a proxy of ours has written it."""
    proxies, named, expected = _BELIEVED[who]
    app = House()
    config = front_door(app, load_settings({"BETALBAR_TRUSTED_PROXIES": proxies}))

    async with served(app, config), await knock(app, NAMED % named) as hand:
        said = await hand.rest()

    assert app.scopes[-1]["client"][0] == expected
    assert said.startswith(b"HTTP/1.1 200 ")
    assert b"server:" not in said.lower()


@pytest.mark.parametrize(
    ("url", "is_said"), [("https://pay.example.com", True), ("http://127.0.0.1:8080", False)]
)
async def test_browsers_of_an_https_address_come_by_https_alone(url: str, is_said: bool) -> None:
    """Who opened my page once is never again sent in clear to who sits between."""
    app = House()
    config = front_door(app, load_settings({"BETALBAR_PUBLIC_URL": url}))
    asked = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

    async with served(app, config), await knock(app, asked) as hand:
        said = (await hand.rest()).lower()

    assert said.startswith(b"http/1.1 200 ")
    assert (b"strict-transport-security: max-age=31536000\r\n" in said) is is_said


async def test_connections_have_the_numbers_that_are_set() -> None:
    """An operator says how many connections there may be, in all and of one address."""
    app = House()
    settings = load_settings({"BETALBAR_CONNECTIONS_PER_ADDRESS_MAX": "2"})

    async with served(app, front_door(app, settings)):
        hands = [await knock(app) for _ in range(2)]
        async with await knock(app) as one_too_many:
            assert await one_too_many.status() == 503
        for hand in hands:
            await hand.drop()
