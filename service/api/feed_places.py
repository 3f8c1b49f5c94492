"""Where a reader of the feed stands: one cursor for pages, streams and ZeroEventHub alike."""

from collections.abc import Sequence

from sqlmodel import Session

from service.api.calls import Call
from service.api.cursors import read_position, write_cursor
from service.errors import FieldError, InvalidInput
from service.feed.pages import Page, Wanted, ends_of, read_page, require_kept
from service.outbox.event_types import is_filter

FIRST, LAST = "_first", "_last"

_LIST = "events"


def cursor_after(msn: str, position: int) -> str:
    """Return the cursor of a reader that has seen everything up to this position."""
    return write_cursor(_LIST, msn, position)


def wanted_types(types: Sequence[str], field: str = "types") -> tuple[str, ...]:
    """Return the types of a filter. Raises: InvalidInput, where one does not exist."""
    if not all(is_filter(text) for text in types):
        raise InvalidInput(FieldError(field, "are event types, `invoice.*` or `*`"))
    return tuple(types)


def position_of(session: Session, msn: str, cursor: str, field: str = "cursor") -> int:
    """Return the position after which this reader goes on. Raises: InvalidInput, NoLongerKept.

    A cursor beyond the end stood in a database that has been set back since: what comes at
    those positions now are other events, and must not be passed over in silence."""
    ends = ends_of(session, msn)
    if cursor == FIRST:
        return ends.start
    if cursor == LAST:
        return ends.head
    position = read_position(cursor, _LIST, msn, field)
    if position > ends.head:
        raise InvalidInput(FieldError(field, "is beyond the end of the feed: start anew"))
    require_kept(ends, position)
    return position


async def feed_page(
    call: Call, cursor: str, *, limit: int, types: tuple[str, ...], field: str = "cursor"
) -> Page:
    """Return the events after a cursor. Raises: InvalidInput, naming the field; NoLongerKept."""
    msn = call.caller.msn

    def work(session: Session) -> Page:
        after = position_of(session, msn, cursor, field)
        return read_page(session, call.context.vault, Wanted(msn, after, limit, types))

    return await call.read(work)
