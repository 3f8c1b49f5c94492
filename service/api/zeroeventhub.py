"""`GET /v1/feed` and `/v1/feed/events`: the feed in the format of Vipps's own event feeds.

Version 1 is ZeroEventHub (`n=1&cursor0=`), version 2 FeedAPI (`token=&partition=0&cursor=`); both
are answered with the same lines. There is one partition, since the feed has one order.
Source: github.com/vippsas/zeroeventhub SPEC.md, github.com/vippsas/feedapi-spec SPEC.md.
"""

from dataclasses import dataclass

import orjson

from service.api.answers import Answer, json_answer
from service.api.calls import Call
from service.api.feed_places import cursor_after, feed_page, wanted_types
from service.api.query import LIMIT_DEFAULT, LIMIT_MAX, Query
from service.errors import Conflict, FieldError, InvalidInput
from service.outbox.event_types import EVENT_TYPES
from service.shapes.feed import FeedDiscovery

# It changes when the partitions do; a reader with another one is sent back to `/v1/feed`.
_TOKEN = "1"  # noqa: S105 - no secret: every reader is told it
_PARTITION = "0"

_VERSION_1 = ("n", "cursor0", "headers")
_VERSION_2 = ("token", "partition", "cursor", "event-types", "skip-event-types")
_HINT_DIGITS_MAX = 9


@dataclass(frozen=True, slots=True)
class _Asked:
    cursor: str
    field: str  # which parameter the cursor came in
    types: tuple[str, ...] = ()


async def discover(call: Call) -> Answer:
    """Answer `GET /v1/feed`: which partitions there are, and that no event comes twice."""
    shown: FeedDiscovery = {
        "token": _TOKEN,
        "partitions": [{"id": _PARTITION}],
        "exactlyOnce": True,
    }
    return json_answer(shown)


async def feed_events(call: Call) -> Answer:
    """Answer `GET /v1/feed/events`: lines of JSON, events first and the next cursor last."""
    query = call.query
    asked = _version_2(query) if query.text("token") is not None else _version_1(query)
    page = await feed_page(
        call, asked.cursor, limit=_limit(query), types=asked.types, field=asked.field
    )
    lines = [b'{"partition":0,"data":%b}\n' % entry.payload for entry in page.entries]
    cursor = cursor_after(call.caller.msn, page.position)
    lines.append(orjson.dumps({"partition": 0, "cursor": cursor}) + b"\n")
    return Answer(200, b"".join(lines), {"Content-Type": "application/x-ndjson"})


def _version_1(query: Query) -> _Asked:
    """Return what a ZeroEventHub client asks for; events have no headers, whatever it wants."""
    _refuse(query, _VERSION_2)
    if query.text("n") != "1":
        raise InvalidInput(FieldError("n", "is the number of partitions, which is 1"))
    query.text("headers")
    return _Asked(_required(query, "cursor0"), "cursor0")


def _version_2(query: Query) -> _Asked:
    """Return what a FeedAPI client asks for."""
    _refuse(query, _VERSION_1)
    if query.text("token") != _TOKEN:
        raise Conflict("feed_token_outdated", "the feed has changed; read /v1/feed again")
    if query.text("partition") != _PARTITION:
        raise InvalidInput(FieldError("partition", "is 0, the only one"))
    return _Asked(_required(query, "cursor"), "cursor", _types(query))


def _types(query: Query) -> tuple[str, ...]:
    """Return the filter; as the format says, separated by `;` and in any case."""
    only, skipped = query.text("event-types"), query.text("skip-event-types")
    if only is not None and skipped is not None:
        raise InvalidInput(FieldError("skip-event-types", "does not go with `event-types`"))
    if skipped is not None:
        left_out = wanted_types(_separated(skipped), "skip-event-types")
        return tuple(text for text in EVENT_TYPES if text not in left_out)
    return wanted_types(_separated(only or ""), "event-types")


def _separated(text: str) -> list[str]:
    return [part for part in text.lower().split(";") if part]


def _refuse(query: Query, names: tuple[str, ...]) -> None:
    wrong = [name for name in names if query.text(name) is not None]
    if wrong:
        reason = "does not go with the other parameters: with `token` or without"
        raise InvalidInput(*(FieldError(name, reason) for name in wrong))


def _required(query: Query, name: str) -> str:
    text = query.text(name)
    if not text:
        raise InvalidInput(FieldError(name, "is missing; `_first` starts at the beginning"))
    return text


def _limit(query: Query) -> int:
    """Return the page's size: only a hint, so that too much is not refused."""
    text = query.text("pagesizehint")
    if text is None:
        return LIMIT_DEFAULT
    if not (text.isascii() and text.isdigit() and len(text) <= _HINT_DIGITS_MAX):
        raise InvalidInput(FieldError("pagesizehint", "is not a whole number"))
    return min(max(int(text), 1), LIMIT_MAX)
