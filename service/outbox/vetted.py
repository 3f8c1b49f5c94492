"""HTTP sessions whose connections end at vetted addresses only.

aiohttp does the work, without httpx before it: httpx's own pool scans every connection for each
request, and as the face of aiohttp it costs four times what aiohttp does. Two seams are ours: the
resolver, which sees a name's answers, and the socket factory, which sees the very address that is
connected to, whatever spelling led there.
"""

import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_network
from typing import Any

import aiohttp
import anyio.to_thread
from aiohttp.abc import AbstractResolver, ResolveResult

from service.outbox.destinations import Destinations
from webhooks.addresses import Address, Network, is_allowed
from webhooks.targets import check_url, vet_for

Resolve = Callable[[str], Awaitable[Sequence[str]]]

# A name may have any number of addresses and all are vetted, but we do not knock at every one.
_ADDRESSES_MAX = 4
# getaddrinfo blocks a thread for as long as a stranger's name server likes; these threads are
# shared with nobody, so that only deliveries to names wait.
_LOOKUPS_MAX = 32
# Below the five seconds of Node and uvicorn: who reuses a connection just as it is closed gets no
# answer, and a POST is not repeated on the spot.
_KEEPALIVE_S = 4
# To one host; many merchants may well sit behind one. There is no limit over all hosts, whose
# bound are the places of the deliverer: in such a queue the healthy would wait for the dead.
_CONNECTIONS_PER_HOST_MAX = 32
_BUFFER_BYTES = 16 * 1024
_HEADERS_MAX = 100


def system_resolve() -> Resolve:
    """Return a resolver that asks the machine's own, in threads of its own."""
    limiter: list[anyio.CapacityLimiter] = []

    async def resolve(host: str) -> Sequence[str]:
        if not limiter:  # it belongs to the running loop
            limiter.append(anyio.CapacityLimiter(_LOOKUPS_MAX))
        found = await anyio.to_thread.run_sync(
            _look_up, host, abandon_on_cancel=True, limiter=limiter[0]
        )
        return list(dict.fromkeys(found))

    return resolve


@asynccontextmanager
async def vetted_sessions(
    *,
    allow: Sequence[Network],
    resolve: Resolve,
    tls: ssl.SSLContext,
    destinations: Destinations,
) -> AsyncIterator[Mapping[str, aiohttp.ClientSession]]:
    """Open sessions, by scheme, that reach public addresses and those in `allow`.

    Where a request leads is told to `destinations`, which may turn it away. Neither follows a
    redirect on its own: say so with each request.

    One session per scheme, because plain http is held to `allow` on each connection and a
    connector does not tell its resolver the scheme."""
    async with (
        _session("https", _VettingResolver("https", allow, resolve, destinations), tls) as https,
        _session("http", _VettingResolver("http", allow, resolve, destinations), tls) as http,
    ):
        yield {"https": https, "http": http}


def _session(
    scheme: str, resolver: "_VettingResolver", tls: ssl.SSLContext
) -> aiohttp.ClientSession:
    def open_socket(info: tuple[Any, Any, int, str, tuple[Any, ...]]) -> socket.socket:
        family, kind, protocol, _, address = info
        # The last word, on the address itself; a literal in a URL meets no resolver.
        check_url(_literal_url(scheme, address[0], address[1]), allow=resolver.allow)
        return socket.socket(family, kind, protocol)

    connector = aiohttp.TCPConnector(
        ssl=tls,
        resolver=resolver,
        socket_factory=open_socket,
        use_dns_cache=False,
        limit=0,
        limit_per_host=_CONNECTIONS_PER_HOST_MAX,
        keepalive_timeout=_KEEPALIVE_S,
    )
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None),  # the caller's deadline is the only one
        auto_decompress=False,
        trust_env=False,
        read_bufsize=_BUFFER_BYTES,
        max_headers=_HEADERS_MAX,
        headers={"user-agent": "betalbar", "accept-encoding": "identity"},
        skip_auto_headers=("Content-Type",),
    )


class _VettingResolver(AbstractResolver):
    """Answers with a name's addresses when every one of them may be connected to."""

    def __init__(
        self,
        scheme: str,
        allow: Sequence[Network],
        resolve: Resolve,
        destinations: Destinations,
    ) -> None:
        self._scheme, self.allow, self._resolve = scheme, allow, resolve
        self._destinations = destinations

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        target = check_url(f"{self._scheme}://{host}:{port}/", allow=self.allow)
        vetted = vet_for(target, await self._resolve(host), allow=self.allow)
        # Whichever of them is taken: a name that answers in turns is one destination.
        where = destination_of(min(vetted, key=str), port, allow=self.allow)
        await self._destinations.arrive(f"{host}:{port}", where)
        return [
            ResolveResult(
                hostname=host,
                host=str(address),
                port=port,
                family=socket.AF_INET if address.version == 4 else socket.AF_INET6,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in vetted[:_ADDRESSES_MAX]
        ]

    async def close(self) -> None:
        """Hold nothing that must be let go."""


def destination_of(address: Address, port: int, *, allow: Sequence[Network]) -> str:
    """Return what counts as one destination: a public IPv4 address, or a /64 of IPv6.

    In a network that the operator has opened, each port is one: there it is known what is what."""
    if is_allowed(address, allow):
        return f"{address} {port}"
    return str(address) if address.version == 4 else str(ip_network((address, 64), strict=False))


def word_of(error: Exception) -> str:
    """Return in one word what aiohttp has met; never an address, since merchants are shown it."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "dns"
    if isinstance(error, aiohttp.ClientSSLError | ssl.SSLError):
        return "tls"
    if isinstance(error, aiohttp.ClientConnectorError):
        return "refused" if isinstance(error.os_error, ConnectionRefusedError) else "unreachable"
    is_cut_off = isinstance(error, aiohttp.ServerDisconnectedError | OSError)
    return "disconnected" if is_cut_off else "protocol"


def _look_up(host: str) -> list[str]:
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


def _literal_url(scheme: str, address: str, port: int) -> str:
    return f"{scheme}://{f'[{address}]' if ':' in address else address}:{port}/"
