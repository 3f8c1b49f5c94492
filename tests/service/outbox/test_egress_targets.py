"""Where an event may go: names that turn, addresses inside, certificates."""

import asyncio
import ssl
from collections.abc import Sequence
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path

import pytest

from service.outbox.destinations import Destinations
from service.outbox.egress import Egress, Reply, open_egress, tls_context
from service.outbox.vetted import vetted_sessions
from tests.fake_merchant import FakeMerchant, serve
from tests.service.outbox.wire import LOOPBACK, Names, certificate, raw_server, saying
from webhooks import ForbiddenTarget

pytestmark = pytest.mark.anyio

_CLOSE = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


async def _post(egress: Egress, url: str) -> Reply:
    return await egress.post(url, headers={}, body=b"{}")


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/",
        "https://10.0.0.1/",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[64:ff9b::7f00:1]/",
        "https://localhost/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://127.1/",
        "https://user@merchant.example/",
        "https://merchant.example\\@127.0.0.1/",
        "https://merchant.example:22/",
        "http://merchant.example/",
        "ftp://merchant.example/",
    ],
)
async def test_post_to_a_forbidden_url_connects_nowhere(url: str) -> None:
    """However an inside address is spelled, nothing is looked up and nothing connected."""
    names = Names(["93.184.215.14"])

    async with open_egress(resolve=names) as egress:
        reply = await _post(egress, url)

    assert (reply.status, reply.error) == (None, "forbidden_target")
    assert names.asked == []


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["93.184.215.14", "10.0.0.1"],
        ["93.184.215.14", "::1"],
        ["fe80::1%eth0"],
        ["2002:7f00:1::1"],
        ["not an address"],
        [],
    ],
)
async def test_post_to_a_name_with_a_forbidden_address_connects_nowhere(
    addresses: Sequence[str],
) -> None:
    """One inside address among a name's answers closes the name."""
    names = Names(addresses)

    async with open_egress(resolve=names) as egress:
        reply = await _post(egress, "https://merchant.example/")

    assert (reply.status, reply.error) == (None, "forbidden_target")
    assert names.asked == ["merchant.example"]


async def test_post_to_a_name_that_turns_inward_is_vetted_again() -> None:
    """A name that was fine yesterday is looked at anew on each connection."""
    names = Names(["127.0.0.1"], ["127.0.0.1", "10.0.0.1"])

    async with (
        raw_server(saying(_CLOSE)) as port,
        open_egress(allow=LOOPBACK, resolve=names) as egress,
    ):
        first = await _post(egress, f"http://turning.example:{port}/")
        second = await _post(egress, f"http://turning.example:{port}/")

    assert (first.status, first.error) == (200, None)
    assert (second.status, second.error) == (None, "forbidden_target")


async def test_post_connects_to_the_vetted_answer_and_asks_once() -> None:
    """Between the check and the connection there is no second look-up to be fooled by."""
    merchant = FakeMerchant()
    names = Names(["127.0.0.1"], ["10.0.0.1"])

    async with serve(merchant) as url, open_egress(allow=LOOPBACK, resolve=names) as egress:
        reply = await _post(egress, url.replace("127.0.0.1", "turning.example"))

    assert reply.is_accepted
    assert names.asked == ["turning.example"]


@pytest.mark.parametrize("url", ["https://127.0.0.1/", "https://[::1]/", "http://10.0.0.1/"])
async def test_session_given_a_literal_vets_the_very_address(url: str) -> None:
    """Should a URL ever pass the first check, the address itself is still looked at."""
    async with vetted_sessions(
        allow=(), resolve=Names([]), tls=tls_context(), destinations=Destinations()
    ) as sessions:
        with pytest.raises(ForbiddenTarget):
            await sessions[url.partition(":")[0]].post(url)


async def test_post_by_http_to_a_public_address_is_forbidden_beside_an_allowed_lan() -> None:
    """Opening my own network opens plain http there, and nowhere else."""
    names = Names(["93.184.215.14"])

    async with open_egress(allow=LOOPBACK, resolve=names) as egress:
        reply = await _post(egress, "http://merchant.example/")

    assert (reply.status, reply.error) == (None, "forbidden_target")


async def test_post_to_a_name_that_is_unknown_is_a_dns_error() -> None:
    """The log says in one word that my name is not found."""

    async def unknown(_host: str) -> Sequence[str]:
        raise OSError("no such name")

    async with open_egress(resolve=unknown) as egress:
        reply = await _post(egress, "https://merchant.example/")

    assert (reply.status, reply.error) == (None, "dns")


async def test_post_by_the_machines_own_resolver_reaches_an_allowed_name() -> None:
    """In a self-hoster's LAN the names of the LAN work."""
    merchant = FakeMerchant()
    allow = (*LOOPBACK, ip_network("::1/128"))

    async with serve(merchant) as url, open_egress(allow=allow) as egress:
        reply = await _post(egress, url.replace("127.0.0.1", "localhost"))

    assert reply.is_accepted


async def test_post_over_tls_checks_the_name_and_sends_it(tmp_path: Path) -> None:
    """My certificate is checked against my name, although the connection goes to a number."""
    server_tls, client_tls = certificate(tmp_path, "merchant.example")
    asked: list[str | None] = []
    server_tls.sni_callback = lambda _socket, name, _context: asked.append(name)
    names = Names(["127.0.0.1"])

    async with (
        raw_server(saying(_CLOSE), tls=server_tls) as port,
        open_egress(allow=LOOPBACK, resolve=names, tls=client_tls) as egress,
    ):
        right = await _post(egress, f"https://merchant.example:{port}/")
        wrong = await _post(egress, f"https://other.example:{port}/")

    assert (right.status, right.error) == (200, None)
    assert (wrong.status, wrong.error) == (None, "tls")
    assert asked == ["merchant.example", "other.example"]


async def test_post_to_an_unknown_authority_is_a_tls_error(tmp_path: Path) -> None:
    """A certificate that anybody could have made is not enough."""
    server_tls, _ = certificate(tmp_path, "merchant.example")

    async with (
        raw_server(saying(_CLOSE), tls=server_tls) as port,
        open_egress(allow=LOOPBACK, resolve=Names(["127.0.0.1"])) as egress,
    ):
        reply = await _post(egress, f"https://merchant.example:{port}/")

    assert (reply.status, reply.error) == (None, "tls")


async def test_post_to_an_expired_certificate_is_a_tls_error(tmp_path: Path) -> None:
    """A certificate that I forgot to renew is not good enough; the log says it is TLS."""
    server_tls, client_tls = certificate(
        tmp_path, "merchant.example", ends_in=timedelta(seconds=-1)
    )

    async with (
        raw_server(saying(_CLOSE), tls=server_tls) as port,
        open_egress(allow=LOOPBACK, resolve=Names(["127.0.0.1"]), tls=client_tls) as egress,
    ):
        reply = await _post(egress, f"https://merchant.example:{port}/")

    assert (reply.status, reply.error) == (None, "tls")


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
async def test_post_to_a_server_of_tls_1_1_is_a_tls_error(tmp_path: Path) -> None:
    """What only speaks an outdated protocol is not spoken to."""
    server_tls, lenient = certificate(tmp_path, "merchant.example")
    server_tls.maximum_version = ssl.TLSVersion.TLSv1_1
    for context in (server_tls, lenient):
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        context.minimum_version = ssl.TLSVersion.TLSv1
    ours = tls_context()
    ours.load_verify_locations(tmp_path / "merchant.example.pem")

    replies = []
    async with raw_server(saying(_CLOSE), tls=server_tls) as port:
        for client_tls in (lenient, ours):
            names = Names(["127.0.0.1"])
            async with open_egress(allow=LOOPBACK, resolve=names, tls=client_tls) as egress:
                replies.append(await _post(egress, f"https://merchant.example:{port}/"))

    # A server that finds no common version may just hang up.
    assert [reply.status for reply in replies] == [200, None]
    assert replies[1].error in ("tls", "unreachable")


async def test_post_with_a_netrc_sends_nobodys_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A password that another program keeps for a host never leaves with an event."""
    merchant = FakeMerchant()
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login operator password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))

    async with serve(merchant) as url, open_egress(allow=LOOPBACK) as egress:
        reply = await _post(egress, url)

    assert reply.is_accepted
    assert "authorization" not in merchant.received[0].headers


async def test_post_to_a_name_whose_server_never_answers_ends_at_the_deadline() -> None:
    """A name server that hangs holds up an attempt for the total time and no longer."""

    async def hang(_host: str) -> Sequence[str]:
        await asyncio.Event().wait()
        return []

    async with open_egress(resolve=hang, total_s=0.2) as egress:
        reply = await _post(egress, "https://merchant.example/")

    assert (reply.status, reply.error) == (None, "timeout")
    assert reply.latency_ms < 3_000


@pytest.mark.parametrize(
    "address",
    [
        "fe80::1",
        "fc00::1",
        "fec0::1",
        "fd00:ec2::254",
        "::127.0.0.1",
        "::ffff:0:7f00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::7f00:1",
        "100::1",
        "2001:0:7f00:1::1",
        "2001:db8::1",
        "2002:7f00:1::1",
        "2606:2800:21f:cb07:0:5efe:7f00:1",
        "3fff::1",
        "5f00::1",
        "ff02::1",
    ],
)
async def test_post_to_a_special_ipv6_address_connects_nowhere(address: str) -> None:
    """What IPv6 has set apart, or hides an IPv4 address in, is refused as literal and as answer."""
    async with open_egress(resolve=Names([address])) as egress:
        literal = await _post(egress, f"https://[{address}]/")
        named = await _post(egress, "https://merchant.example/")

    assert [literal.error, named.error] == ["forbidden_target"] * 2


def test_tls_context_refuses_what_is_older_than_1_2() -> None:
    """An outdated protocol is not spoken, and no certificate goes unchecked."""
    context = tls_context()

    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.check_hostname
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.get_ca_certs()
