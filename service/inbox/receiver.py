"""`POST /webhooks/vipps/{msn}`: size, signature, one commit, then 200 and not before.

A plain ASGI endpoint: the framework's request object would cost a third of the whole
(performance notes). Refusals say nothing to the sender; the log says why.
"""

from collections import Counter
from collections.abc import Sequence
from time import monotonic

import structlog
from starlette.types import Message, Receive, Scope, Send

from service.cause import Cause, cause_of, current_cause
from service.context import Context
from service.errors import DatabaseAway
from service.group_commit import GroupCommit, NotStored, Overloaded
from service.ids import new_id
from service.inbox.kept_headers import kept_headers
from service.inbox.refusals import Refusals, Refused
from service.inbox.registrations import Registered, Registrations
from service.ledger.book import write
from service.ledger.received import Received
from service.ledger.record import record
from service.problem_frame import RETRY_AFTER_S
from statemachine import Outcome
from webhooks.errors import MalformedEvent, SignatureMismatch, VerificationError
from webhooks.vipps import SignedRequest, verify
from webhooks.vipps_event import VippsEvent, parse

BODY_BYTES_MAX = 64 * 1024
# Vipps waits ten seconds, and asks again: whoever would be stored later than this is told so at
# once. What a commit itself then takes still fits (service/door/limits.py ends it all).
WAIT_MAX_S = 3.0
_RETRY_AFTER = (b"retry-after", str(RETRY_AFTER_S).encode())
# Together well over half a second: as long as it takes to keep a new secret on a busy machine.
READINGS_MAX = 5

log = structlog.get_logger(__name__)


class _TooLarge(Exception):
    """The body is over the limit."""


class _Gone(Exception):
    """The sender hung up."""


class Receiver:
    """The endpoint, as an ASGI application."""

    def __init__(self, context: Context) -> None:
        """Start with an empty queue, and nothing counted."""
        self.outcomes = Counter[str]()
        self.refused = Counter[str]()
        self._context = context
        self._registrations = Registrations(context)
        self._refusals = Refusals(context)
        self._commits: GroupCommit[Received, Outcome] = GroupCommit(
            self._store, wait_max_s=WAIT_MAX_S
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 200 when stored, 401, 405, 413, or 503 when Vipps shall try again."""
        try:
            status = await self._answer(scope, receive)
        except _Gone:
            return
        headers = [(b"content-length", b"0"), *((_RETRY_AFTER,) if status == 503 else ())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body"})

    async def drain(self) -> None:
        """Return when every accepted event is committed."""
        await self._commits.drain()
        await self._refusals.drain()

    async def _answer(self, scope: Scope, receive: Receive) -> int:
        if scope["method"] != "POST":
            return 405
        msn = scope["path_params"]["msn"]
        try:
            body = await _read_body(scope, receive)
            if not await self._is_proven(msn, scope, body):
                return 401
            outcome = await self._commit(msn, scope["headers"], body)
        except _TooLarge:
            return 413
        except (DatabaseAway, Overloaded, NotStored) as error:
            reason = type(error).__name__
            known = self._registrations.known_as(msn)
            log.warning("webhook_not_stored", sales_unit=known, reason=reason)
            self._context.observed.webhook_not_stored(reason)
            return 503
        self.outcomes[outcome] += 1
        return 200

    async def _commit(
        self, msn: str, headers: Sequence[tuple[bytes, bytes]], body: bytes
    ) -> Outcome:
        """Store a proven webhook together with whatever comes beside it."""
        begun = monotonic()
        with self._context.traces.span("vipps webhook", kind="server") as span:
            cause = Cause(current_cause().request_id, span.traceparent)
            received = self._received(msn, headers, body, cause)
            span.note("vipps_event", received.id)
            with self._context.traces.span("commit"):
                outcome = await self._commits.submit(received)
            span.note("outcome", outcome)
        self._context.observed.webhook_stored(monotonic() - begun)
        return outcome

    async def _is_proven(self, msn: str, scope: Scope, body: bytes) -> bool:
        """Tell whether Vipps sent it; the reason why not goes to the log alone."""
        try:
            await self._verify(msn, scope, body)
        except VerificationError as error:
            reason = type(error).__name__
            self.refused[reason] += 1
            known = self._registrations.known_as(msn)
            log.warning("webhook_refused", sales_unit=known, reason=reason)
            now = self._context.clock.now()
            self._refusals.note(Refused(msn, now, reason, _seen(scope), scope["headers"], body))
            return False
        return True

    async def _verify(self, msn: str, scope: Scope, body: bytes) -> None:
        tries = READINGS_MAX
        while True:
            registered = await self._registrations.of(msn)
            try:
                return self._verify_any(registered, scope, body)
            except SignatureMismatch:
                # A registration that another process is making may not be known here: Vipps uses
                # its secret from the instant that it is made, a moment before we have kept it.
                tries -= 1
                if not tries or not await self._registrations.read_again():
                    raise

    def _verify_any(self, registered: Sequence[Registered], scope: Scope, body: bytes) -> None:
        # An unknown sales unit costs one signature too, and looks the same from outside.
        candidates = registered or (Registered("", "", ()),)
        for candidate in candidates[:-1]:
            try:
                return self._verify_one(candidate, scope, body)
            except SignatureMismatch:
                continue
        return self._verify_one(candidates[-1], scope, body)

    def _verify_one(self, registered: Registered, scope: Scope, body: bytes) -> None:
        request = SignedRequest(
            method="POST",
            path_and_query=registered.path_and_query,
            host=registered.host,
            headers=scope["headers"],
            body=body,
        )
        tolerance_s = self._context.settings.webhook_tolerance_s
        now = self._context.clock.now()
        verify(request, registered.secrets, now, tolerance_s=tolerance_s)

    def _received(
        self, msn: str, headers: Sequence[tuple[bytes, bytes]], body: bytes, cause: Cause
    ) -> Received:
        return Received(
            id=new_id("vev"),
            msn=msn,
            source="webhook",
            raw=body,
            received_at=self._context.clock.business_now(),
            report=_parse(body),
            headers=kept_headers(headers),
            cause=cause.text,
        )

    def _store(self, batch: Sequence[Received]) -> Sequence[Outcome]:
        outcomes = write(self._context, lambda book: record(book, batch))
        # A line for each would cost as much as storing it.
        alike: dict[tuple[str, Outcome], list[str]] = {}
        for each, outcome in zip(batch, outcomes, strict=True):
            request_id = cause_of(each.cause).request_id
            alike.setdefault((each.msn, outcome), []).append(request_id)
        for (msn, outcome), ids in alike.items():
            log.info(
                "webhooks_stored", sales_unit=msn, outcome=outcome, count=len(ids), request_ids=ids
            )
        return outcomes


def _seen(scope: Scope) -> tuple[str, str]:
    """Return the address by which a request came; whoever sent it chose that."""
    host = next((value for name, value in scope["headers"] if name == b"host"), b"")
    query = scope.get("query_string", b"")
    path: bytes = scope.get("raw_path") or scope["path"].encode()
    return _text(host), _text(path + (b"?" + query if query else b""))


def _text(raw: bytes) -> str:
    return raw.decode("ascii", "replace")[:500]


def _parse(body: bytes) -> VippsEvent | MalformedEvent:
    try:
        return parse(body)
    except MalformedEvent as error:
        return error


def _is_within_limit(content_length: bytes) -> bool:
    # Counted first: a number of thousands of digits is an error to `int` itself.
    is_short = content_length.isdigit() and len(content_length) <= len(str(BODY_BYTES_MAX))
    return is_short and int(content_length) <= BODY_BYTES_MAX


async def _read_body(scope: Scope, receive: Receive) -> bytes:
    for name, value in scope["headers"]:
        if name == b"content-length" and not _is_within_limit(value):
            raise _TooLarge
    parts: list[bytes] = []
    size = 0
    while True:
        message: Message = await receive()
        if message["type"] == "http.disconnect":
            raise _Gone
        part = message.get("body", b"")
        size += len(part)
        if size > BODY_BYTES_MAX:
            raise _TooLarge
        parts.append(part)
        if not message.get("more_body"):
            return b"".join(parts)
