"""The one way out to merchants: a POST that can't be turned inward, bombed or held open.

Knows no tables. Threats T23-T27, T33.
"""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx

from service.outbox.destinations import PLACES_MAX, DestinationBusy, Destinations
from service.outbox.vetted import (
    Resolve,
    SendFailed,
    destination_of,
    system_resolve,
    vetted_transport,
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
        client: httpx.AsyncClient,
        destinations: Destinations,
        *,
        allow: Sequence[Network],
        total_s: float,
    ) -> None:
        """Take a client whose transport vets its connections, and reports where they lead."""
        self._client = client
        self._destinations = destinations
        self._allow = allow
        self._total_s = total_s

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
            target = check_url(url, allow=self._allow)
            async with self._destinations.visit(
                f"{target.host}:{target.port}", places_max=places_max
            ):
                if target.address is not None:  # no resolver sees a literal
                    where = destination_of(target.address, target.port, allow=self._allow)
                    await self._destinations.arrive(f"{target.host}:{target.port}", where)
                async with asyncio.timeout(self._total_s):
                    await self._exchange(url, headers, body, progress)
        except ForbiddenTarget:
            error = "forbidden_target"
        except DestinationBusy:
            error = BUSY
        except SendFailed as failure:
            error = failure.kind
        except TimeoutError:
            error = "timeout"
        except (httpx.HTTPError, httpx.InvalidURL):
            error = "protocol"
        return Reply(
            status=progress.status,
            answer=bytes(progress.answer[:ANSWER_BYTES_MAX]),
            retry_after=progress.retry_after,
            latency_ms=round((time.monotonic() - begun) * 1000),
            error=error,
        )

    async def _exchange(
        self, url: str, headers: Mapping[str, str], body: bytes, progress: "_Progress"
    ) -> None:
        async with self._client.stream("POST", url, headers=headers, content=body) as response:
            progress.status = response.status_code
            retry_after = response.headers.get("retry-after", "")
            progress.retry_after = retry_after[:_RETRY_AFTER_CHARACTERS_MAX] or None
            async for chunk in response.aiter_raw():
                progress.answer += chunk
                if len(progress.answer) >= _READ_BYTES_MAX:
                    break


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
    async with (
        vetted_transport(
            allow=allow,
            resolve=resolve or system_resolve(),
            tls=tls or tls_context(),
            destinations=destinations,
        ) as transport,
        httpx.AsyncClient(
            transport=transport,
            trust_env=False,
            follow_redirects=False,
            timeout=None,  # noqa: S113 - post() has one deadline over everything
            headers={"user-agent": "betalbar", "accept": "*/*", "accept-encoding": "identity"},
        ) as client,
    ):
        yield Egress(client, destinations, allow=allow, total_s=total_s)


def tls_context() -> ssl.SSLContext:
    """Return what verifies a receiver: TLS 1.2 or newer, certifi's and the system's roots.

    The system's are added, so that a self-hoster's own authority is known, too."""
    context = httpx.create_ssl_context(trust_env=False)
    context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
