"""`GET /v1/events`: the feed as pages, every event once, in the feed's order (I8)."""

from collections.abc import Sequence
from dataclasses import dataclass

import orjson
import sqlalchemy as sa
from sqlmodel import Session, col

from service.api.answers import Answer, json_answer
from service.api.calls import Call
from service.api.cursors import read_position, write_cursor
from service.api.query import Query
from service.context import Context
from service.errors import FieldError, InvalidInput
from service.outbox.event_types import EVERY_INVOICE, EVERYTHING, is_filter
from service.store.tables import Event, Feed

_LIST = "events"

# A page with a filter walks at most so many events: one for a type that never occurs must not
# read a year of them (T43). The cursor moves on all the same.
_WALK_MAX = 10_000


@dataclass(frozen=True, slots=True)
class _Wanted:
    msn: str
    cursor: str
    types: tuple[str, ...]
    limit: int


async def list_events(call: Call) -> Answer:
    """Answer `GET /v1/events`; `tryLater` says that nothing more is there for now."""
    query = Query(call.request, "cursor", "limit", "types")
    types = tuple(query.several("types"))
    if not all(is_filter(text) for text in types):
        raise InvalidInput(FieldError("types", "are event types, `invoice.*` or `*`"))
    cursor = query.text("cursor") or "_first"
    wanted = _Wanted(call.caller.msn, cursor, types, query.limit())
    return await call.read(lambda session: _page(session, call.context, wanted))


def _page(session: Session, context: Context, wanted: _Wanted) -> Answer:
    # The head first: what is appended while we read comes with the next page.
    head = session.scalar(sa.select(col(Feed.position)).where(col(Feed.msn) == wanted.msn)) or 0
    after = _position(wanted, head)
    until = min(head, after + _WALK_MAX) if wanted.types else head
    rows = _rows(session, wanted, after, until)
    reached = rows[-1].position if len(rows) == wanted.limit else max(until, after)
    # The stored bytes themselves: identical on every channel.
    items = [
        orjson.Fragment(context.vault.open(row.payload, place=f"event:{row.id}:payload"))
        for row in rows
    ]
    next_cursor = write_cursor(_LIST, wanted.msn, reached)
    return json_answer({"items": items, "cursor": next_cursor, "tryLater": reached >= head})


def _position(wanted: _Wanted, head: int) -> int:
    if wanted.cursor == "_first":
        return 0
    if wanted.cursor == "_last":
        return head
    return read_position(wanted.cursor, _LIST, wanted.msn)


def _rows(
    session: Session, wanted: _Wanted, after: int, until: int
) -> Sequence[sa.Row[tuple[str, int, bytes]]]:
    feed = sa.select(col(Event.id), col(Event.position), col(Event.payload)).where(
        col(Event.msn) == wanted.msn, col(Event.position) > after, col(Event.position) <= until
    )
    if wanted.types and EVERYTHING not in wanted.types:
        matching: list[sa.ColumnElement[bool]] = [col(Event.type).in_(wanted.types)]
        if EVERY_INVOICE in wanted.types:
            matching.append(col(Event.type).startswith("invoice.", autoescape=True))
        feed = feed.where(sa.or_(*matching))
    return session.execute(feed.order_by(col(Event.position)).limit(wanted.limit)).all()
