"""No address that is private, reserved or in disguise is ever connected to."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.webhooks.vectors import HIDDEN_ADDRESSES
from webhooks import targets
from webhooks.errors import ForbiddenTarget

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


@pytest.mark.parametrize("address", HIDDEN_ADDRESSES)
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
