"""The one way out to merchants: a POST that can't be turned inward, bombed or held open.

Knows no tables. Threats T23-T27, T33.
"""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache, lru_cache, partial

import aiohttp
import certifi
from yarl import URL

from service.outbox.destinations import PLACES_MAX, DestinationBusy, Destinations
from service.outbox.vetted import (
    Resolve,
    destination_of,
    system_resolve,
    vetted_sessions,
    word_of,
)
from webhooks import ForbiddenTarget
from webhooks.addresses import Network
from webhooks.targets import check_url

# Connecting, sending and the answer together (contract, section 6).
TOTAL_S = 15.0
# Enough to empty a usual answer, so that its connection can be kept; a bomb ends here.
_READ_BYTES_MAX = 16 * 1024
# What the log of attempts keeps.
ANSWER_BYTES_MAX = 2 * 1024
_RETRY_AFTER_CHARACTERS_MAX = 64
# URLs whose spelling was judged already; some 5 MB of the longest.
_WAYS_MAX = 2_000
# No failure of the receiver's: nothing was sent, and nothing is held against it.
BUSY = "destination_busy"


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of one POST.

    `status` is None where no answer came; `answer` is its first 2 KiB, undecoded. `error` is one
    word: dns, refused, unreachable, disconnected, tls, timeout, forbidden_target, protocol, or
    destination_busy. It may stand beside a status, where the answer's body broke off."""

    status: int | None
    answer: bytes = field(repr=False)
    retry_after: str | None
    latency_ms: int
    error: str | None

    @property
    def is_accepted(self) -> bool:
        """Tell whether the receiver said 2xx; what its body then does is of no account."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def was_tried(self) -> bool:
        """Tell whether anything was attempted; not where too much is under way to that address."""
        return self.error != BUSY


class Egress:
    """Sends to subscribers' URLs; made by `open_egress`."""

    def __init__(
        self,
        sessions: Mapping[str, aiohttp.ClientSession],
        destinations: Destinations,
        *,
        allow: Sequence[Network],
        total_s: float,
    ) -> None:
        """Take sessions, by scheme, that vet their connections and report where they lead."""
        self._sessions = sessions
        self._destinations = destinations
        self._total_s = total_s
        # The spelling of a URL is judged alike each time; what its name leads to is not kept here.
        self._way = lru_cache(_WAYS_MAX)(partial(_way, allow=allow))

    async def post(
        self,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes,
        places_max: int = PLACES_MAX,
    ) -> Reply:
        """Send one request and return what came of it; network trouble is a reply, too.

        Not more than `places_max` are under way to its address, it included."""
        begun = time.monotonic()
        progress = _Progress()
        error: str | None = None
        try:
            way = self._way(url)
            async with self._destinations.visit(way.name, places_max=places_max):
                if way.where is not None:  # no resolver sees a literal
                    await self._destinations.arrive(way.name, way.where)
                async with asyncio.timeout(self._total_s):
                    await self._exchange(way, headers, body, progress)
        except ForbiddenTarget:
            error = "forbidden_target"
        except DestinationBusy:
            error = BUSY
        except TimeoutError:
            error = "timeout"  # by our deadline, or the system's own patience
        except (aiohttp.ClientError, OSError, ValueError) as failure:
            error = word_of(failure)
        return Reply(
            status=progress.status,
            answer=bytes(progress.answer[:ANSWER_BYTES_MAX]),
            retry_after=progress.retry_after,
            latency_ms=round((time.monotonic() - begun) * 1000),
            error=error,
        )

    async def _exchange(
        self, way: "_Way", headers: Mapping[str, str], body: bytes, progress: "_Progress"
    ) -> None:
        answer = await self._sessions[way.scheme].post(
            way.url, data=body, headers=headers, allow_redirects=False
        )
        try:
            progress.status = answer.status
            retry_after = answer.headers.get("retry-after", "")
            progress.retry_after = retry_after[:_RETRY_AFTER_CHARACTERS_MAX] or None
            async for chunk in answer.content.iter_any():
                progress.answer += chunk
                if len(progress.answer) >= _READ_BYTES_MAX:
                    break
        finally:
            # The connection is kept where the body was read to its end, else it is closed.
            answer.close()


@dataclass(frozen=True, slots=True)
class _Way:
    """Where one URL leads; `where` is its destination if it names an address itself."""

    scheme: str
    url: URL
    name: str
    where: str | None


def _way(url: str, *, allow: Sequence[Network]) -> _Way:
    """Return where a URL leads. Raises: ForbiddenTarget."""
    target = check_url(url, allow=allow)
    where = None
    if target.address is not None:
        where = destination_of(target.address, target.port, allow=allow)
    return _Way(target.scheme, URL(url, encoded=True), f"{target.host}:{target.port}", where)


@dataclass(slots=True)
class _Progress:
    """What is known so far, kept when the rest fails."""

    status: int | None = None
    retry_after: str | None = None
    answer: bytearray = field(default_factory=bytearray)


@asynccontextmanager
async def open_egress(
    *,
    allow: Sequence[Network] = (),
    resolve: Resolve | None = None,
    tls: ssl.SSLContext | None = None,
    total_s: float = TOTAL_S,
) -> AsyncIterator[Egress]:
    """Open the way out, for as long as the block runs.

    `allow` opens networks that are not public; `resolve` and `tls` replace the machine's."""
    destinations = Destinations()
    async with vetted_sessions(
        allow=allow,
        resolve=resolve or system_resolve(),
        tls=tls or _tls(),
        destinations=destinations,
    ) as sessions:
        yield Egress(sessions, destinations, allow=allow, total_s=total_s)


def tls_context() -> ssl.SSLContext:
    """Return what verifies a receiver: TLS 1.2 or newer, certifi's and the system's roots.

    The system's are added, so that a self-hoster's own authority is known, too."""
    context = ssl.create_default_context(cafile=certifi.where())
    context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


@cache
def _tls() -> ssl.SSLContext:
    # One for all who send: making it reads every certificate of the machine.
    return tls_context()
