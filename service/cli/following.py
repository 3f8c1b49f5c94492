"""The feed as it grows: from the database of this machine, or from a service elsewhere."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import httpx

from service.api.feed_places import FIRST, cursor_after, position_of
from service.context import Context
from service.errors import Conflict, NoLongerKept, NotFound, Unauthorized, UpstreamTimeout
from service.feed.pages import Wanted, read_page

# Another process commits; here nothing but a look shows it.
_LOOK_S = 0.5
_PAGE_LIMIT = 100

# The stream says something every 15 s; without a word for longer, the line is dead.
_SILENT_S = 45.0
_AGAIN_S = 2.0


@dataclass(frozen=True, slots=True)
class Seen:
    """One event as every channel has it, and the place after it; no payload: a place only."""

    cursor: str
    payload: bytes = b""


def from_database(
    context: Context, msn: str, *, cursor: str, types: tuple[str, ...]
) -> Iterator[Seen]:
    """Yield what comes after a cursor, for ever. Raises: InvalidInput, DatabaseAway."""
    with context.database.snapshot() as session:
        after = position_of(session, msn, cursor or FIRST, "--cursor")
    yield Seen(cursor_after(msn, after))
    while True:
        with context.database.snapshot() as session:
            page = read_page(session, context.vault, Wanted(msn, after, _PAGE_LIMIT, types))
        for entry in page.entries:
            yield Seen(cursor_after(msn, entry.position), entry.payload)
        after = page.position
        yield Seen(cursor_after(msn, after))
        if page.is_last:
            time.sleep(_LOOK_S)


def from_service(url: str, api_key: str, *, cursor: str, types: tuple[str, ...]) -> Iterator[Seen]:
    """Yield what a service's stream says after a cursor, for ever, over broken lines.

    Raises: Unauthorized, NotFound, Conflict, NoLongerKept; UpstreamTimeout where it was never
    reached."""
    place, was_reached = cursor, False
    headers = {"Authorization": f"Bearer {api_key}"}
    with httpx.Client(headers=headers, timeout=httpx.Timeout(10, read=_SILENT_S)) as http:
        while True:
            try:
                asked = {"cursor": place, "types": list(types)}
                with http.stream("GET", f"{url}/v1/events/stream", params=asked) as answer:
                    _require(answer)
                    was_reached = True
                    for seen in _blocks(answer.iter_lines()):
                        place = seen.cursor
                        yield seen
            except httpx.HTTPError as error:
                if not was_reached:
                    raise UpstreamTimeout(f"{url} can't be reached") from error
            # From `_last` nothing has been seen yet: what came meanwhile is missed, as before.
            time.sleep(_AGAIN_S)


def _require(answer: httpx.Response) -> None:
    if answer.status_code == httpx.codes.UNAUTHORIZED:
        raise Unauthorized("BETALBAR_API_KEY is not a key of that service")
    if answer.status_code == httpx.codes.NOT_FOUND:
        raise NotFound("there is no Betalbar at that address")
    if answer.status_code == httpx.codes.GONE:
        raise NoLongerKept("the events after that cursor are no longer kept; _first is what is")
    if not answer.is_success:
        raise Conflict("conflict", f"the service answers {answer.status_code} {answer.read()!r}")


def _blocks(lines: Iterator[str]) -> Iterator[Seen]:
    """Yield the blocks of a stream of server-sent events that have an id."""
    fields: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(": ")
        if line and name:
            fields[name] = value
        elif not line:
            if "id" in fields:
                yield Seen(fields["id"], fields.get("data", "").encode())
            fields = {}
