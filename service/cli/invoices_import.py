"""`betalbar invoices import`: a file is checked as a whole, then sent row by row."""

import csv
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from service.cli.business_time import with_business_time
from service.cli.importing import Done, import_rows
from service.cli.output import AsJson, Msn, examples, opened, progress, show_json
from service.cli.rows import COLUMNS, Row, Wrong, read_rows
from service.errors import FieldError, InvalidInput, UpstreamTimeout

# More than these scroll away; --json has them all.
_SHOWN_MAX = 50
_RESULT_COLUMNS = ("line", "reference", "outcome", "pageUrl", "column", "reason")

_EXAMPLE = """reference;amount.currency;amount.value;customer.phoneNumber;description;dueDate
acme-2026-000123;NOK;14900;4791234567;Broadband, November;2026-12-15"""


@dataclass(slots=True)
class _Result:
    """What a run has come to so far."""

    outcomes: Counter[str] = field(default_factory=Counter)
    wrong: list[Wrong] = field(default_factory=list)

    def add(self, done: Done) -> None:
        self.outcomes[done.outcome] += 1
        if done.outcome == "refused":
            self.wrong.append(Wrong(done.row.line, done.column, done.reason))


def import_(
    file: Annotated[Path, typer.Argument(help="A file that ends with .csv or .jsonl.")],
    is_trial: Annotated[
        bool, typer.Option("--dry-run", help="Say what would become of each row; store nothing.")
    ] = False,
    rate: Annotated[
        float, typer.Option(min=0.1, max=1000, help="At most so many new invoices a second.")
    ] = 20,
    result: Annotated[
        Path | None,
        typer.Option(help="Where to write what became of each row; else beside FILE."),
    ] = None,
    msn: Msn = "",
    as_json: AsJson = False,
) -> None:
    """Send a file of invoices, at a steady pace that Vipps and the service can follow.

    First every row is checked: with one that is wrong nothing is sent, and each is named by line
    and column. Then new invoices are made one by one, and the pace drops while many still wait to
    be sent. What became of each row, with its page's link, is in the result file.

    Doing it again is safe, after Ctrl-C or a crash too: a row whose reference is there already
    with the same content is left as it is, and with other content it is refused. Works beside a
    running `betalbar serve`, which talks to Vipps. Ends with 1 where a row was not taken.
    """
    wrong, count = _check(file)
    if wrong:
        _show_wrong(wrong, count, as_json=as_json)
        raise typer.Exit(1)
    result_file = result or file.with_name(f"{file.name}.result.csv")
    summary = _Result()
    is_stopped = False
    with opened() as real:
        try:
            context = with_business_time(real)
        except UpstreamTimeout:
            context = real  # no service runs, and so no clock that was turned
        unit = msn or context.settings.msn
        done = import_rows(context, unit, _rows(file), rate=rate, is_trial=is_trial)
        try:
            with _result_writer(result_file) as write, progress() as bar:
                for one in bar.track(done, total=count, description="importing"):
                    summary.add(one)
                    write(one)
        except KeyboardInterrupt:
            is_stopped = True
    _show(summary, count, result_file, is_trial=is_trial, as_json=as_json)
    if is_stopped or summary.wrong:
        raise typer.Exit(1)


def epilog() -> str:
    """Return what stands below the help: an example, and the columns."""
    names = ", ".join(f"`{name}`" for name in (*COLUMNS, "metadata.NAME"))
    shown = examples(
        "betalbar invoices import november.csv --dry-run", "betalbar invoices import november.csv"
    )
    return (
        f"{shown}\n\nA column is a field of `POST /v1/invoices`, empty where it is left out:"
        f" {names}. A file:\n\n```text\n{_EXAMPLE}\n```\n\nIn a .jsonl file each line is such a"
        " request's body."
    )


def _check(file: Path) -> tuple[list[Wrong], int]:
    """Return all that is wrong in a file, and how many rows are right."""
    wrong: list[Wrong] = []
    count = 0
    for found in read_rows(file):
        if isinstance(found, Wrong):
            wrong.append(found)
        else:
            count += 1
    return wrong, count


def _rows(file: Path) -> Iterator[Row]:
    for found in read_rows(file):
        if isinstance(found, Wrong):
            reason = f"{file}: has changed while it was read: {found}"
            raise InvalidInput(FieldError("FILE", reason))
        yield found


@contextmanager
def _result_writer(path: Path) -> Iterator[Any]:
    """Give a function that adds a row to a new file, which only its owner may read.

    Written through row by row, so that a crash leaves what was done."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    except OSError as error:
        reason = (error.strerror or "can't be written").lower()
        raise InvalidInput(FieldError("--result", f"{path}: {reason}")) from error
    with os.fdopen(descriptor, "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(_RESULT_COLUMNS)

        def write(done: Done) -> None:
            row = done.row
            said = (done.outcome, done.page_url, done.column, done.reason)
            rows.writerow((row.line, row.reference, *said))
            file.flush()

        yield write


def _show_wrong(wrong: list[Wrong], count: int, *, as_json: bool) -> None:
    if as_json:
        show_json({"rows": count, "errors": _errors(wrong), "resultFile": None})
        return
    _print_wrong(wrong)
    lines = len({one.line for one in wrong})
    print(f"Nothing was sent: {lines} of the file's lines are wrong. Mend them, and do it again.")


def _show(
    summary: _Result, count: int, result_file: Path, *, is_trial: bool, as_json: bool
) -> None:
    outcomes = {name: summary.outcomes[name] for name in ("created", "unchanged", "refused")}
    if as_json:
        shown = {"rows": count, **outcomes, "isDryRun": is_trial}
        show_json({**shown, "errors": _errors(summary.wrong), "resultFile": str(result_file)})
        return
    _print_wrong(summary.wrong)
    said = ", ".join(f"{name} {number}" for name, number in outcomes.items())
    print(f"{'Would be: ' if is_trial else ''}{said}. See {result_file}.")
    left = count - sum(outcomes.values())
    if left:
        print(f"Stopped: {left} rows are left. The same command goes on.")


def _print_wrong(wrong: list[Wrong]) -> None:
    for one in wrong[:_SHOWN_MAX]:
        print(one)
    if len(wrong) > _SHOWN_MAX:
        print(f"… and {len(wrong) - _SHOWN_MAX} more; --json shows all")


def _errors(wrong: list[Wrong]) -> list[dict[str, Any]]:
    return [{"line": one.line, "column": one.column, "reason": one.reason} for one in wrong]
