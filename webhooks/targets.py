"""Vet where we send: the spelling of a subscriber's URL, then the addresses its name resolves to.

Both are needed. The URL is checked when a subscription is made, so that a developer is told at
once; the addresses are checked on every connection, because a name can change its answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from webhooks.addresses import Address, Network, is_allowed, is_public
from webhooks.errors import ForbiddenTarget

URL_CHARACTERS_MAX = 2048
# Below lie the services that answer to anybody who can reach them: SSH, SMTP, DNS.
_PORT_MIN = 1024
_DEFAULT_PORTS = {"https": 443, "http": 80}

# Visible ASCII without the backslash, which some parsers read as a slash. The URL is matched as a
# whole, so that no lenient parser comes to another host than we do.
_VISIBLE = re.compile(r"[!-\[\]-~]+")
_URL = re.compile(r"(?P<scheme>[A-Za-z]+)://(?P<authority>[^/?]*)(?:[/?].*)?")
_AUTHORITY = re.compile(r"(?P<host>\[[^\[\]]*\]|[^:\[\]]*)(?::(?P<port>[0-9]{1,5}))?")
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*")
# A last label that is a number makes libraries read the host as IPv4 (127.1, 0x7f000001), each by
# its own rules. Only the plain four numbers are taken. Source: WHATWG URL, "ends in a number".
_ENDS_IN_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")

_LOOPBACK: tuple[Address, ...] = (IPv4Address("127.0.0.1"), IPv6Address("::1"))


@dataclass(frozen=True, slots=True)
class TargetUrl:
    """Hold the parts of a URL whose spelling is beyond doubt.

    `host` is lower case and without brackets; `address` is set where it is a literal. Where
    `needs_allowed`, the URL uses http or a port below 1024, which only networks opened by the
    operator may: see `vet_for`.
    """

    url: str
    scheme: str
    host: str
    port: int
    address: Address | None
    needs_allowed: bool


def check_url(url: str, *, allow: Sequence[Network] = ()) -> TargetUrl:
    """Return the parts of a URL that we may try to send to.

    https on 443 or a port from 1024; no user, fragment, backslash, space, control or non-ASCII
    character (a name is given in its `xn--` form), at most 2048 characters. A literal address must
    be public or inside `allow`, `localhost` inside `allow`. http and other ports are for addresses
    inside `allow`: a literal is decided here, a name passes where `allow` is not empty and is
    decided by `vet_for` on each connection. Raises: ForbiddenTarget.
    """
    scheme, host, port = _split(url)
    address = _literal(host)
    target = TargetUrl(
        url=url,
        scheme=scheme,
        host=host.removeprefix("[").removesuffix("]"),
        port=port,
        address=address,
        needs_allowed=scheme != "https" or not (port == 443 or port >= _PORT_MIN),
    )
    if address is not None:
        vet_for(target, (str(address),), allow=allow)
    elif _is_localhost(host):
        if not any(is_allowed(loopback, allow) for loopback in _LOOPBACK):
            raise ForbiddenTarget("localhost is not open to deliveries")
    elif target.needs_allowed and not allow:
        raise ForbiddenTarget("only https on port 443 or from 1024 is open to deliveries")
    return target


def vet(addresses: Iterable[str], *, allow: Sequence[Network] = ()) -> tuple[Address, ...]:
    """Return the addresses that one name resolved to, all of them fit to connect to.

    They are texts as the resolver gives them. One forbidden address forbids the name: who mixes
    public and private answers is trying something. Raises: ForbiddenTarget.
    """
    parsed = tuple(_address(text) for text in addresses)
    if not parsed:
        raise ForbiddenTarget("the name has no address")
    for address in parsed:
        if not (is_allowed(address, allow) or is_public(address)):
            raise ForbiddenTarget("the address is private, reserved or hides another")
    return parsed


def vet_for(
    target: TargetUrl, addresses: Iterable[str], *, allow: Sequence[Network] = ()
) -> tuple[Address, ...]:
    """Return what `vet` does, and hold http and low ports to the networks in `allow`.

    Raises: ForbiddenTarget.
    """
    vetted = vet(addresses, allow=allow)
    if target.needs_allowed and not all(is_allowed(address, allow) for address in vetted):
        raise ForbiddenTarget("only https on port 443 or from 1024 is open to this address")
    return vetted


def _split(url: str) -> tuple[str, str, int]:
    if len(url) > URL_CHARACTERS_MAX:
        raise ForbiddenTarget(f"the URL has more than {URL_CHARACTERS_MAX} characters")
    if _VISIBLE.fullmatch(url) is None:
        raise ForbiddenTarget("the URL has a character other than visible ASCII, or a backslash")
    if "#" in url:
        raise ForbiddenTarget("the URL has a fragment")
    match = _URL.fullmatch(url)
    if match is None or match["scheme"].lower() not in _DEFAULT_PORTS:
        raise ForbiddenTarget("the URL is not an absolute https URL")
    scheme = match["scheme"].lower()
    if "@" in match["authority"]:
        raise ForbiddenTarget("the URL names a user")
    host, port = _host_and_port(match["authority"].lower())
    return scheme, host, _DEFAULT_PORTS[scheme] if port is None else port


def _host_and_port(authority: str) -> tuple[str, int | None]:
    match = _AUTHORITY.fullmatch(authority)
    if match is None or not match["host"]:
        raise ForbiddenTarget("the URL's host or port is not in a usual form")
    if match["port"] is None:
        return match["host"], None
    port = int(match["port"])
    if not 1 <= port <= 65535:
        raise ForbiddenTarget("the URL's port is not from 1 to 65535")
    return match["host"], port


def _literal(host: str) -> Address | None:
    """Return the address that a host spells, or None where it is a name."""
    if host.startswith("["):
        if "%" in host:
            raise ForbiddenTarget("the address has a zone")
        return _address(host[1:-1])
    if _ENDS_IN_NUMBER.fullmatch(host):
        return _address(host)
    if _NAME.fullmatch(host) is None:
        raise ForbiddenTarget("the URL's host is neither a name nor an address")
    return None


def _address(text: str) -> Address:
    try:
        return ip_address(text)
    except ValueError:
        raise ForbiddenTarget("the host is not an address in its usual form") from None


def _is_localhost(host: str) -> bool:
    return host == "localhost" or host.endswith(".localhost")
