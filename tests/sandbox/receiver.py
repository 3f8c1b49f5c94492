"""An address for webhooks that keeps what it gets."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from starlette.types import Receive, Scope, Send

from tests.sandbox import conformance
from tests.sandbox.harness import MSN, WAIT_S, Json, served
from webhooks import vipps


@dataclass(frozen=True)
class Received:
    """One webhook as it came in."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: datetime

    @property
    def event(self) -> Json:
        """Return the body, which must be what Vipps might have sent."""
        event: Json = json.loads(self.body)
        conformance.check_webhook(event)
        return event

    @property
    def name(self) -> str:
        """Return what happened."""
        return str(self.event["name"])

    def verify(self, url: str, secret: str) -> None:
        """Fail unless this is signed for that address with that secret."""
        host, path = vipps.authority_and_path(url)
        pairs = [(name.encode(), value.encode()) for name, value in self.headers.items()]
        request = vipps.SignedRequest("POST", path, host, pairs, self.body)
        vipps.verify(request, [secret], self.at)


@dataclass
class Receiver:
    """An address for webhooks; `answer_with` decides the status, 0 meaning never."""

    url: str = ""
    received: list[Received] = field(default_factory=list)
    answer_with: Callable[[Received], int] = lambda _: 200
    _news: threading.Condition = field(default_factory=threading.Condition)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take one webhook in."""
        if scope["type"] != "http":
            return
        body, more = b"", True
        while more:
            part = await receive()
            body, more = body + part.get("body", b""), part.get("more_body", False)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        came_in = Received(scope["path"], headers, body, datetime.now(UTC))
        with self._news:
            self.received.append(came_in)
            self._news.notify_all()
        status = self.answer_with(came_in)
        if status == 0:
            while (await receive())["type"] != "http.disconnect":
                pass
            return
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    def wait_for(self, count: int) -> list[Received]:
        """Return what came in, once it is that many."""
        return self.wait_until(lambda received: len(received) >= count)

    def wait_until(self, is_enough: Callable[[list[Received]], bool]) -> list[Received]:
        """Return what came in, once it is enough."""
        with self._news:
            is_there = self._news.wait_for(lambda: is_enough(self.received), WAIT_S)
        names = [(r.event["reference"], r.name) for r in self.received]
        assert is_there, f"after {WAIT_S} s there is only {names}"
        return list(self.received)


@contextmanager
def receiver() -> Iterator[Receiver]:
    """Serve an address that answers 200 to everything, until told otherwise."""
    address = Receiver()
    with served(address) as url:
        address.url = f"{url}/webhooks/vipps/{MSN}?callback=webhook"
        yield address
