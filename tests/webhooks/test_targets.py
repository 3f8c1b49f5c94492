"""A subscriber's URL leads to the internet, or to where the operator allows; nowhere else."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webhooks import targets
from webhooks.addresses import Network
from webhooks.errors import ForbiddenTarget

LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
LAN = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))

FORBIDDEN_V4 = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "168.63.129.16/32",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.31.196.0/24",
    "192.52.193.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "192.175.48.0/24",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
]
FORBIDDEN_V6 = [
    "::/8",  # unspecified, loopback, compatible, mapped, SIIT, both NAT64 prefixes' upper half
    "::ffff:0:0/96",
    "::ffff:0:0:0/96",
    "64:ff9b::/96",
    "64:ff9b:1::/48",
    "100::/64",
    "2001::/23",
    "2001:db8::/32",
    "2002::/16",
    "2620:4f:8000::/48",
    "3fff::/20",
    "4000::/2",
    "5f00::/16",
    "8000::/1",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
]
# The addresses that `ipaddress.is_global` lets through, and their relatives.
HIDDEN = [
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::7f00:1",
    "2002:7f00:1::1",
    "2001:0:7f00:1::",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:0:7f00:1",
    "::5efe:7f00:1",
    "2a00:1450::5efe:7f00:1",
    "2a00:1450::200:5efe:a9fe:a9fe",
    "2a00:1450::5efe:8.8.8.8",
    "fec0::1",
    "3fff::1",
    "5f00::1",
    "fd00:ec2::254",
    "fd20:ce::254",
    "::",
    "::1",
    "ff02::1",
    "fe80::1%eth0",
    "2a00:1450::1%eth0",
    "224.0.0.1",
    "192.88.99.1",
    "168.63.129.16",
    "169.254.169.254",
    "100.100.100.200",
    "192.0.0.192",
    "255.255.255.255",
    "0.0.0.0",  # noqa: S104
]
PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "168.63.129.15",
    "168.63.129.17",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.0",
    "192.0.3.0",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "2000::1",
    "2001:200::1",
    "2001:db7:ffff::1",
    "2001:db9::1",
    "2003::1",
    "2606:4700:4700::1111",
    "2a00:1450::5eff:7f00:1",
    "3ffe:ffff::1",
    "3fff:1000::1",
]


@pytest.mark.parametrize("block", FORBIDDEN_V4 + FORBIDDEN_V6)
@settings(max_examples=25)
@given(data=st.data())
def test_vet_any_address_of_a_forbidden_block_is_refused(data: st.DataObject, block: str) -> None:
    """Not one address of a reserved block can be reached, its first and last included."""
    network = ip_network(block)
    inside = data.draw(st.integers(0, network.num_addresses - 1))

    for address in (network[inside], network[0], network[-1]):
        assert not vetted(str(address))


@given(number=st.integers(0, 2**32 - 1))
def test_vet_any_v4_address_is_public_or_in_a_forbidden_block(number: int) -> None:
    """Outside the reserved blocks every merchant's address is welcome."""
    address = IPv4Address(number)
    forbidden = any(address in IPv4Network(block) for block in FORBIDDEN_V4)

    assert vetted(str(address)) is not forbidden


@given(number=st.integers(0, 2**128 - 1) | st.integers(2**125, 2**126 - 1))
def test_vet_any_v6_address_is_public_or_in_a_forbidden_block(number: int) -> None:
    """IPv6 is open in 2000::/3 alone, without its special blocks and without ISATAP."""
    address = IPv6Address(number)
    isatap = (number >> 32) % 2**32 in (0x5EFE, 0x0200_5EFE)
    special = any(address in IPv6Network(block) for block in FORBIDDEN_V6)
    outside = address not in IPv6Network("2000::/3")

    assert vetted(str(address)) is not (isatap or special or outside)


@given(
    prefix=st.integers(2**61, 2**62 - 1),
    mark=st.sampled_from([0x5EFE, 0x0200_5EFE]),
    v4=st.integers(0, 2**32 - 1),
)
def test_vet_any_isatap_address_is_refused(prefix: int, mark: int, v4: int) -> None:
    """Under no prefix can an IPv6 address carry an IPv4 one to a tunnel."""
    address = IPv6Address(prefix << 64 | mark << 32 | v4)

    assert not vetted(str(address))


def vetted(address: str) -> bool:
    """Return whether the address is let through."""
    try:
        targets.vet([address])
    except ForbiddenTarget:
        return False
    return True


@pytest.mark.parametrize("address", HIDDEN)
def test_vet_hidden_address_is_refused(address: str) -> None:
    """No disguise of loopback, metadata or a private network gets through."""
    with pytest.raises(ForbiddenTarget):
        targets.vet([address])


@pytest.mark.parametrize("address", PUBLIC)
def test_vet_public_address_passes(address: str) -> None:
    """A merchant next door to a reserved block is served."""
    assert targets.vet([address]) == (ip_address(address),)


@pytest.mark.parametrize("bad", ["10.0.0.1", "::1", "169.254.169.254"])
@pytest.mark.parametrize("position", [0, 1, 2])
def test_vet_one_forbidden_answer_forbids_the_name(bad: str, position: int) -> None:
    """A name that answers with public and private addresses is up to something."""
    addresses = ["8.8.8.8", "2606:4700::1"]
    addresses.insert(position, bad)

    with pytest.raises(ForbiddenTarget):
        targets.vet(addresses)


def test_vet_keeps_the_resolvers_order() -> None:
    """The connection is tried in the order that the resolver proposed."""
    vetted_addresses = targets.vet(iter(["2606:4700::1", "8.8.8.8"]))

    assert vetted_addresses == (IPv6Address("2606:4700::1"), IPv4Address("8.8.8.8"))


def test_vet_without_addresses_is_refused() -> None:
    """A name that resolves to nothing leads nowhere."""
    with pytest.raises(ForbiddenTarget, match="no address"):
        targets.vet([])


@pytest.mark.parametrize("text", ["", "localhost", "127.1", "1.2.3.4/32", "[::1]", "08.8.8.8"])
def test_vet_text_that_is_no_address_is_refused(text: str) -> None:
    """Only what is plainly an address is connected to."""
    with pytest.raises(ForbiddenTarget, match="usual form"):
        targets.vet([text])


@pytest.mark.parametrize("address", ["10.1.2.3", "fd00::5"])
def test_vet_allowed_network_wins(address: str) -> None:
    """A self-hoster opens a LAN of their own."""
    assert targets.vet([address, "8.8.8.8"], allow=LAN) == (
        ip_address(address),
        ip_address("8.8.8.8"),
    )


@pytest.mark.parametrize("address", ["127.0.0.1", "11.0.0.1%", "::ffff:10.1.2.3", "192.168.0.1"])
def test_vet_outside_the_allowed_network_is_refused(address: str) -> None:
    """Opening one network opens no other, and none in disguise."""
    with pytest.raises(ForbiddenTarget):
        targets.vet([address], allow=LAN)


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


@pytest.mark.parametrize("address", [a for a in HIDDEN if "%" not in a] + ["10.0.0.1", "127.0.0.1"])
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
