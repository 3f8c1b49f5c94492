"""Say which IP addresses lie on the public internet and hide no other address.

`ipaddress.is_global` is not that: it calls NAT64 and 6to4 forms of loopback and of the cloud
metadata address global. So: IPv4 without the special blocks, IPv6 only inside 2000::/3 and without
the special blocks. Source: IANA special-purpose address registries (v4, v6); RFC 4291, 5214, 6052.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_SPECIAL_V4 = tuple(
    IPv4Network(block)
    for block in (
        "0.0.0.0/8",  # this network; 0.0.0.0 reaches the own host
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carrier NAT; holds Alibaba's metadata, 100.100.100.200
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # Azure's platform address, public by number only
        "169.254.0.0/16",  # link-local; holds the metadata of most clouds
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments; holds Oracle's metadata
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # automatic multicast tunnelling
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved; holds broadcast
    )
)

# Everything else of IPv6 (loopback, private, link-local, mapped and compatible v4, both NAT64
# prefixes, 5f00::/16, multicast) lies outside and needs no line of its own.
_UNICAST_V6 = IPv6Network("2000::/3")
_SPECIAL_V6 = tuple(
    IPv6Network(block)
    for block in (
        "2001::/23",  # protocol assignments: Teredo, ORCHID, benchmarks
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: carries a v4 address
        "2620:4f:8000::/48",  # AS112
        "3fff::/20",  # documentation
    )
)

# ISATAP writes 0000:5efe or 0200:5efe before a v4 address, under any prefix whatever.
_ISATAP_MARK = 0x5EFE
_ISATAP_MASK = 0xFDFF_FFFF


def is_public(address: Address) -> bool:
    """Return whether the address is on the public internet and carries no other inside."""
    if isinstance(address, IPv4Address):
        return not any(address in block for block in _SPECIAL_V4)
    # A zone picks a network card of ours; no public address has one.
    return (
        address.scope_id is None
        and address in _UNICAST_V6
        and not any(address in block for block in _SPECIAL_V6)
        and not _is_isatap(address)
    )


def is_allowed(address: Address, allow: Sequence[Network]) -> bool:
    """Return whether one of the networks opened by the operator holds the address."""
    return any(address in network for network in allow)


def _is_isatap(address: IPv6Address) -> bool:
    return int(address) >> 32 & _ISATAP_MASK == _ISATAP_MARK
