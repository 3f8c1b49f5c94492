"""A subscriber's URL leads to the internet, or to where the operator allows; nowhere else."""

from ipaddress import IPv4Address, ip_address, ip_network
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.webhooks.vectors import HIDDEN_ADDRESSES
from webhooks import targets
from webhooks.addresses import Network
from webhooks.errors import ForbiddenTarget

LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
LAN = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


@pytest.mark.parametrize(
    ("url", "scheme", "host", "port"),
    [
        ("https://shop.example", "https", "shop.example", 443),
        ("https://shop.example?x=1", "https", "shop.example", 443),
        ("HTTPS://Shop.Example:443/Hooks?a=b/../@:", "https", "shop.example", 443),
        ("https://shop.example:1024/", "https", "shop.example", 1024),
        ("https://shop.example:65535/", "https", "shop.example", 65535),
        ("https://xn--bcher-kva.example/", "https", "xn--bcher-kva.example", 443),
        ("https://my_service.example/%2e%2e/", "https", "my_service.example", 443),
        ("https://a.b-c.4d.example/", "https", "a.b-c.4d.example", 443),
        ("https://1.1.1.1/", "https", "1.1.1.1", 443),
        ("https://[2606:4700::1]:8443/", "https", "2606:4700::1", 8443),
        ("https://0xabc.example/", "https", "0xabc.example", 443),
        ("https://" + "a" * 63 + ".example/", "https", "a" * 63 + ".example", 443),
    ],
)
def test_check_url_public_https_passes(url: str, scheme: str, host: str, port: int) -> None:
    """A usual https URL is taken as it is."""
    target = targets.check_url(url)

    assert (target.url, target.scheme, target.host, target.port) == (url, scheme, host, port)
    assert not target.needs_allowed
    assert target.address == (ip_address(host) if host[0] in "12" else None)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "shop.example",
        "//shop.example/",
        "/hooks",
        "https:shop.example",
        "https:/shop.example",
        "https:///shop.example",
        "https://",
        "https://:443/",
        "ftp://shop.example/",
        "javascript://shop.example/",
        "http://shop.example/",
        "http://8.8.8.8/",
        "https://user@shop.example/",
        "https://user:pass@shop.example/",
        "https://@shop.example/",
        "https://shop.example#x",
        "https://shop.example/#",
        "https://a.b\\@127.0.0.1/",
        "https://shop.example\\.evil.example/",
        "https://shop.example/a b",
        " https://shop.example/",
        "https://shop.example/\n",
        "https://shop.exa\tmple/",
        "https://shop.example/\x00",
        "https://shop.example/\x7f",
        "https://bücher.example/",
        "https://shop.example/ø",
        "https://shop。example/",
        "https://127.0.0.①/",
        "https://shop.example:/",
        "https://shop.example:0/",
        "https://shop.example:80/",
        "https://shop.example:22/",
        "https://shop.example:442/",
        "https://shop.example:1023/",
        "https://shop.example:65536/",
        "https://shop.example:99999/",
        "https://shop.example:443443/",
        "https://shop.example:-1/",
        "https://shop.example:+443/",
        "https://shop.example:443:443/",
        "https://shop.example:x/",
        "https://shop.example./",
        "https://.shop.example/",
        "https://shop..example/",
        "https://-shop.example/",
        "https://shop-.example/",
        "https://shop%2eexample/",
        "https://127.0.0.1%2f.example/",
        "https://shop.example;evil/",
        "https://" + "a" * 64 + ".example/",
        "https://" + "a." * 127 + "example/",
        "https://[::1/",
        "https://::1/",
        "https://[]/",
        "https://[shop.example]/",
        "https://[1.1.1.1]x/",
        "https://[2606:4700::1%25eth0]/",
        "https://[fe80::1%25eth0]/",
        "https://[v1.x]/",
        "https://localhost/",
        "https://localhost:8443/",
        "https://LOCALHOST/",
        "https://shop.localhost/",
        "https://shop.example/" + "a" * 2028,
    ],
)
def test_check_url_in_another_form_is_refused(url: str) -> None:
    """A URL that two parsers could read differently is refused at once; so is one without TLS."""
    with pytest.raises(ForbiddenTarget) as caught:
        targets.check_url(url)

    assert caught.value.reason


def test_check_url_of_the_greatest_length_passes() -> None:
    """2048 characters are allowed exactly."""
    url = "https://shop.example/" + "a" * 2027

    assert len(url) == 2048
    assert targets.check_url(url).host == "shop.example"


# Each spells 127.0.0.1, 169.254.169.254 or 10.0.0.1 to one library or another.
ODD_SPELLINGS = [
    "127.1",
    "127.0.1",
    "0x7f000001",
    "0X7F000001",
    "2130706433",
    "017700000001",
    "0177.0.0.1",
    "0x7f.0.0.1",
    "127.0.0.01",
    "127.000.000.001",
    "0",
    "0x",
    "10.1",
    "169.254.43518",
    "2852039166",
    "0xa9fea9fe",
    "1.2.3.4.5",
    "256.1.1.1",
    "999",
    "shop.example.1",
    "shop.0x1",
]


@pytest.mark.parametrize("host", ODD_SPELLINGS)
@pytest.mark.parametrize("allow", [(), LOOPBACK, (ip_network("0.0.0.0/0"),)])
def test_check_url_odd_spelling_of_an_address_is_refused(
    host: str, allow: tuple[Network, ...]
) -> None:
    """An address is written as four plain numbers, also where it is allowed."""
    with pytest.raises(ForbiddenTarget):
        targets.check_url(f"https://{host}/", allow=allow)


@pytest.mark.parametrize(
    "address", [a for a in HIDDEN_ADDRESSES if "%" not in a] + ["10.0.0.1", "127.0.0.1"]
)
def test_check_url_literal_forbidden_address_is_refused(address: str) -> None:
    """A private address in the URL itself is told when the subscription is made."""
    host = f"[{address}]" if ":" in address else address

    with pytest.raises(ForbiddenTarget):
        targets.check_url(f"https://{host}/")


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9000/hooks",
        "http://127.0.0.1/",
        "https://127.0.0.1:22/",
        "http://[::1]:80/",
        "http://localhost:9000/",
        "https://localhost/",
        "http://shop.localhost/",
    ],
)
def test_check_url_allowed_loopback_takes_http_and_any_port(url: str) -> None:
    """Whoever tries Betalbar at home may receive on their own machine."""
    target = targets.check_url(url, allow=LOOPBACK)

    assert target.needs_allowed is not url.startswith("https://localhost")


@pytest.mark.parametrize(
    "url",
    [
        "http://8.8.8.8/",
        "https://8.8.8.8:22/",
        "http://10.0.0.1/",
        "http://[2606:4700::1]/",
    ],
)
def test_check_url_http_to_an_address_not_allowed_is_refused(url: str) -> None:
    """Opening the loopback opens http nowhere else."""
    with pytest.raises(ForbiddenTarget):
        targets.check_url(url, allow=LOOPBACK)


def test_check_url_port_zero_is_refused_also_where_allowed() -> None:
    """There is no port 0, not even at home."""
    with pytest.raises(ForbiddenTarget, match="port"):
        targets.check_url("http://127.0.0.1:0/", allow=LOOPBACK)


def test_check_url_localhost_needs_the_loopback_allowed() -> None:
    """Opening a LAN does not open our own machine."""
    with pytest.raises(ForbiddenTarget, match="localhost"):
        targets.check_url("http://localhost/", allow=LAN)


def test_vet_for_http_name_needs_every_address_allowed() -> None:
    """A name in the LAN may use http while it stays in the LAN."""
    target = targets.check_url("http://erp.lan:81/", allow=LAN)

    assert target.needs_allowed
    assert targets.vet_for(target, ["10.0.0.7"], allow=LAN) == (IPv4Address("10.0.0.7"),)
    for addresses in (["8.8.8.8"], ["10.0.0.7", "8.8.8.8"], ["127.0.0.1"]):
        with pytest.raises(ForbiddenTarget):
            targets.vet_for(target, addresses, allow=LAN)


def test_vet_for_https_name_takes_public_and_allowed_addresses() -> None:
    """https is open to the internet and to what the operator adds."""
    target = targets.check_url("https://shop.example/", allow=LAN)

    assert targets.vet_for(target, ["8.8.8.8", "10.0.0.7"], allow=LAN)
    with pytest.raises(ForbiddenTarget):
        targets.vet_for(target, ["8.8.8.8", "10.0.0.7"])


@given(
    url=st.text(alphabet="htps:/\\@[]%.0123456789xaf#? \t\n-_") | st.text(),
    start=st.sampled_from(["", "https://", "http://", "https://[", "https://127.0.0."]),
)
def test_check_url_any_text_is_a_target_or_refused(url: str, start: str) -> None:
    """No text can crash the check or slip past it to a forbidden address."""
    try:
        target = targets.check_url(start + url)
    except ForbiddenTarget:
        return

    assert target.scheme == "https"
    assert target.port == 443 or target.port >= 1024
    assert target.address is None or targets.vet([str(target.address)])


@given(
    scheme=st.sampled_from(["https", "HTTPS", "http"]),
    authority=st.text(alphabet="ab.-_0x1:[]@%;\\") | st.from_regex(r"[a-z.]{1,8}(:[0-9]{1,5})?"),
    rest=st.text(alphabet="/?@:\\#.%a;[]&=") | st.just(""),
)
def test_check_url_agrees_with_the_client_about_the_host(
    scheme: str, authority: str, rest: str
) -> None:
    """The host that was checked is the host that is connected to."""
    url = f"{scheme}://{authority}{rest}"
    try:
        target = targets.check_url(url, allow=LAN)
    except ForbiddenTarget:
        return

    seen, standard = httpx.URL(url), urlsplit(url)

    assert target.host == seen.raw_host.decode() == standard.hostname
    assert target.port == (seen.port or target.port) == (standard.port or target.port)
    assert target.scheme == seen.scheme == standard.scheme
