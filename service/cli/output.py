"""How commands speak: to people on a terminal, to scripts with `--json`."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from service.context import Context
from service.neighbours import tell_neighbours
from service.opening import open_context
from service.settings import load_settings

_WIDE = 1000

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
Msn = Annotated[
    str,
    typer.Option(help="The sales unit's merchant serial number; without it, BETALBAR_VIPPS_MSN's."),
]


def examples(*lines: str) -> str:
    """Return what stands below a command's help: lines to type."""
    word = "Example" if len(lines) == 1 else "Examples"
    return "\n\n".join([f"{word}:", *(f"`{line}`" for line in lines)])


@contextmanager
def opened() -> Iterator[Context]:
    """Open the database that the environment names, and close it afterwards.

    Raises: SettingsInvalid, SchemaOutdated, SealBroken, DatabaseAway."""
    context = open_context(load_settings())
    try:
        yield context
    finally:
        tell_neighbours(context)
        context.database.dispose()


def show_json(value: Any) -> None:
    """Print one JSON document; nothing else goes to standard output beside it."""
    print(json.dumps(value, indent=2, ensure_ascii=False, default=_instant))


def show_rows(rows: Sequence[Mapping[str, Any]], *, as_json: bool, empty: str) -> None:
    """Print a list: as JSON `{"items"}`, as a table, or as the sentence for an empty one."""
    if as_json:
        show_json({"items": list(rows)})
    elif not rows:
        print(empty)
    else:
        _show_table(rows)


def progress() -> Progress:
    """Return a bar for long work: on standard error, and only where that is a terminal."""
    console = Console(stderr=True)
    return Progress(console=console, disable=not console.is_terminal, transient=True)


def complain(error: Exception, exit_code: int) -> int:
    """Print an error to standard error, and return the exit code that belongs to it."""
    print(f"betalbar: {error}", file=sys.stderr)
    return exit_code


def _show_table(rows: Sequence[Mapping[str, Any]]) -> None:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in rows[0]:
        # A name cut in half can't be copied into the next command.
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(escape(_text(value)) for value in row.values()))
    # What is read by another program, or kept in a file, is not folded to a screen's width.
    Console(width=None if sys.stdout.isatty() else _WIDE).print(table)


def _text(value: Any) -> str:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M} UTC"
    return "-" if value is None else str(value)


def _instant(value: datetime) -> str:
    return value.isoformat().replace("+00:00", "Z")
