"""`betalbar events tail`: what merchants are told, as it happens."""

import sys
import time
from typing import Annotated, Any

import orjson
import typer

from service.api.feed_places import FIRST, LAST, cursor_after, position_of, wanted_types
from service.cli.output import Msn, opened
from service.context import Context
from service.feed.pages import Entry, Page, Wanted, read_page

# Another process commits; here nothing but a look shows it.
_LOOK_S = 0.5
_PAGE_LIMIT = 100

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="What merchants are told: the feed.",
)


@app.callback()
def _group() -> None:
    pass


@app.command()
def tail(
    msn: Msn = "",
    types: Annotated[
        list[str] | None,
        typer.Option(help="Only this type, `invoice.*` or `*`; may be given several times."),
    ] = None,
    cursor: Annotated[
        str, typer.Option(help="Go on after this place; `_first` is the beginning, `_last` now.")
    ] = LAST,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a line of JSON for each: its cursor, the event.")
    ] = False,
) -> None:
    """Print each event of a sales unit's feed as it comes, until Ctrl-C.

    Begins now, unless a cursor says where: one of the API's is good here too, and the one that is
    printed at the end goes on where this ended. Works beside a running service.
    """
    with opened() as context:
        unit = msn or context.settings.msn
        wanted = wanted_types(types or [], "--types")
        with context.database.snapshot() as session:
            place = [position_of(session, unit, cursor or FIRST, "--cursor")]
        try:
            _follow(context, place, unit=unit, types=wanted, as_json=as_json)
        except KeyboardInterrupt:
            print(f"Go on with --cursor {cursor_after(unit, place[0])}", file=sys.stderr)


def _follow(
    context: Context, place: list[int], *, unit: str, types: tuple[str, ...], as_json: bool
) -> None:
    """Print what comes, and keep the place of what was printed."""
    while True:
        page = _page(context, Wanted(unit, place[0], _PAGE_LIMIT, types))
        for entry in page.entries:
            print(_json_line(entry, unit) if as_json else _line(entry), flush=True)
            place[0] = entry.position
        place[0] = page.position
        if page.is_last:
            time.sleep(_LOOK_S)


def _page(context: Context, wanted: Wanted) -> Page:
    with context.database.snapshot() as session:
        return read_page(session, context.vault, wanted)


def _json_line(entry: Entry, unit: str) -> str:
    line = {"cursor": cursor_after(unit, entry.position), "event": orjson.Fragment(entry.payload)}
    return orjson.dumps(line).decode()


def _line(entry: Entry) -> str:
    event: dict[str, Any] = orjson.loads(entry.payload)
    reference = event["data"].get("invoice", {}).get("reference", "")
    return f"{event['timestamp']}  {event['type']}  {reference}".rstrip()
