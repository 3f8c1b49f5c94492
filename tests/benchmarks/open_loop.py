"""Load at a constant rate, whatever the answers: a closed loop would hide a queue.

Each request has an instant at which it is due. Its latency counts from there, and how late it was
sent is said beside it: a generator that can't keep up must not look like a fast server. What was
answered 503 is sent again later, signed anew, as Vipps does.
"""

import asyncio
import time
from array import array
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import cast

from tests.benchmarks.webhooks import Address, a_body, a_request

# Enough for every request that a server may keep waiting; more would be a flood of connections.
CONNECTIONS_MAX = 8_000
_OPENING_MAX = 64
_TICK_S = 0.001
# Vipps has given up by then: what is unanswered is counted as such.
_LAST_ANSWERS_S = 15.0


@dataclass(slots=True)
class Told:
    """What came back; latencies are in seconds, from the instant at which each was due."""

    statuses: Counter[int] = field(default_factory=Counter)
    stored_s: "array[float]" = field(default_factory=lambda: array("d"))
    shed_s: "array[float]" = field(default_factory=lambda: array("d"))
    late_s: "array[float]" = field(default_factory=lambda: array("d"))
    # What the server alone took: from the instant at which each was written to its socket.
    since_sent_s: "array[float]" = field(default_factory=lambda: array("d"))
    first_stored_at: float = 0.0
    last_stored_at: float = 0.0
    sent: int = 0
    broken: int = 0  # connections that ended under a request
    turned_away: int = 0  # connections that were refused before they had one
    unanswered: int = 0


def percentile(values: Iterable[float], share: float) -> float:
    """Return the value below which this share of them lies, 0 of nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


class OpenLoop:
    """Sends webhooks about these payments, each until it is stored."""

    def __init__(self, to: Address, port: int, references: Iterable[str]) -> None:
        """Connect to nothing yet."""
        self._to = to
        self._port = port
        self._references = deque(references)
        self._idle: list[_Connection] = []
        self._open = 0
        self._opening: set[asyncio.Task[None]] = set()
        self._waiting: deque[tuple[float, str]] = deque()
        self._under_way = 0
        self.told = Told()

    def add(self, references: Iterable[str]) -> None:
        """Take more payments."""
        self._references.extend(references)

    async def run(self, *, rate: float, seconds: float) -> Told:
        """Send at that rate for so long, and wait for the last answers."""
        self.told = Told()
        begun, number = time.monotonic(), 0
        while (now := time.monotonic()) < begun + seconds:
            while begun + number / rate <= now and self._references:
                self._waiting.append((begun + number / rate, self._references.popleft()))
                number += 1
            self._send(now)
            await asyncio.sleep(_TICK_S)
        await self._last_answers()
        return self.told

    def close(self) -> None:
        """End every connection."""
        for connection in self._idle:
            connection.transport.close()

    async def _last_answers(self) -> None:
        give_up_at = time.monotonic() + _LAST_ANSWERS_S
        self._references.extend(reference for _, reference in self._waiting)
        self._waiting.clear()
        while self._under_way and time.monotonic() < give_up_at:  # noqa: ASYNC110
            await asyncio.sleep(_TICK_S)
        self.told.unanswered = self._under_way

    def _send(self, now: float) -> None:
        while self._waiting and self._idle:
            connection = self._idle.pop()
            if connection.transport.is_closing():
                continue
            due_at, reference = self._waiting.popleft()
            connection.post(self._request(reference), due_at, reference)
            self.told.late_s.append(now - due_at)
            self.told.sent += 1
            self._under_way += 1
        more = min(
            len(self._waiting) - len(self._opening),
            _OPENING_MAX - len(self._opening),
            CONNECTIONS_MAX - self._open,
        )
        for _ in range(more):
            self._open += 1
            opening = asyncio.create_task(self._connect())
            self._opening.add(opening)
            opening.add_done_callback(self._opening.discard)

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: _Connection(self), "127.0.0.1", self._port)
        except OSError:
            self._open -= 1

    def _request(self, reference: str) -> bytes:
        # Sent again, it is the same event: only the signature is a new one.
        at = datetime.now(UTC)
        return a_request(a_body("AUTHORIZED", reference, f"psp-{reference}", at), self._to, at)

    def ready(self, connection: "_Connection") -> None:
        """Take a connection that has nothing to do."""
        self._idle.append(connection)

    def answered(self, status: int, connection: "_Connection", reference: str) -> None:
        """Note an answer."""
        self._under_way -= 1
        self.told.statuses[status] += 1
        now = time.monotonic()
        self.told.since_sent_s.append(now - connection.sent_at)
        took = now - connection.due_at
        if status == 200:
            self.told.stored_s.append(took)
            self.told.last_stored_at = time.monotonic()
            self.told.first_stored_at = self.told.first_stored_at or self.told.last_stored_at
        else:
            self.told.shed_s.append(took)
            self._references.append(reference)

    def lost(self, connection: "_Connection") -> None:
        """Note that a connection ended, perhaps under a request."""
        self._open -= 1
        if connection in self._idle:
            self._idle.remove(connection)
        if connection.reference:
            self._under_way -= 1
            self.told.broken += 1
            self._references.append(connection.reference)


class _Connection(asyncio.Protocol):
    """One keep-alive connection with at most one request under way."""

    def __init__(self, loop: OpenLoop) -> None:
        self._loop = loop
        self.due_at = self.sent_at = 0.0
        self.reference = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._loop.ready(self)

    def post(self, request: bytes, due_at: float, reference: str) -> None:
        self.due_at, self.reference, self.sent_at = due_at, reference, time.monotonic()
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        # Answers are one packet: the receiver's have no body, and the front door's are the last.
        reference, self.reference = self.reference, ""
        if reference:
            self._loop.answered(int(data[9:12]), self, reference)
        else:
            self._loop.told.turned_away += 1
        if b"connection: close" in data:
            self.transport.close()
        else:
            self._loop.ready(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._loop.lost(self)
