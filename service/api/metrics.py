"""`/metrics`: the service's figures for Prometheus.

They name nobody, yet tell a stranger how the business goes, and are those of every sales unit: so
they have a key of their own (`BETALBAR_METRICS_KEY`), and no sales unit's opens them (I10). Without
it they are open to this machine alone, and closed beside a real Vipps (threats T52).
"""

import hmac
import time
from ipaddress import ip_address

from anyio import Lock, to_thread
from starlette.requests import Request

from service.api.answers import Answer
from service.api.auth import bearer
from service.api.calls import OpenHandler
from service.api.running import Running
from service.context import Context
from service.errors import Unauthorized
from service.metrics.exposition import CONTENT_TYPE, Received, exposition
from service.metrics.figures import Figures, figures

# Prometheus asks four times a minute; whoever asks more often costs the database nothing.
KEPT_S = 5.0
# And where a pile makes reading them slow, they are read in a twentieth of the time.
_KEPT_TIMES = 20


def metrics(context: Context, running: Running) -> OpenHandler:
    """Return the handler of `GET /metrics`. It raises: Unauthorized, DatabaseAway."""
    kept = _Kept(context)

    async def handle(request: Request) -> Answer:
        _require_key(context, request)
        received = Received(dict(running.outcomes), dict(running.refusals))
        body = exposition(await kept.figures(), received, context.observed)
        return Answer(200, body, {"Content-Type": CONTENT_TYPE})

    return handle


def _require_key(context: Context, request: Request) -> None:
    key = context.settings.metrics_key
    if key:
        if not hmac.compare_digest(bearer(request.scope["headers"]), key.encode()):
            raise Unauthorized
    elif context.settings.is_vipps_real or not _is_from_here(request):
        raise Unauthorized


def _is_from_here(request: Request) -> bool:
    """Tell whether whoever asks is on this machine; a socket without an address is."""
    try:
        return request.client is None or ip_address(request.client.host).is_loopback
    except ValueError:
        return False


class _Kept:
    """The figures of a moment ago, or new ones, read once however many ask."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._lock = Lock()
        self._read: Figures | None = None
        self._good_until = 0.0

    async def figures(self) -> Figures:
        async with self._lock:
            begun = time.monotonic()
            if self._read is None or begun > self._good_until:
                self._read = await to_thread.run_sync(self._look)
                now = time.monotonic()
                self._good_until = now + max(KEPT_S, _KEPT_TIMES * (now - begun))
            return self._read

    def _look(self) -> Figures:
        context = self._context
        has_broker = bool(context.settings.broker_url)
        with context.database.snapshot() as session:
            return figures(session, now=context.clock.now(), has_broker=has_broker)
