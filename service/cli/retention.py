"""`betalbar retention`: lets go, now, of what has been kept long enough."""

from pathlib import Path
from typing import Annotated

import orjson
import typer

from service.audit.archived import read_archive
from service.cli.output import AsJson, opened, progress, show_rows
from service.clockwork.cleaning import clean_all
from service.errors import FieldError, InvalidInput
from service.keeping.kinds import archive_of, what_is_kept


def retention(
    read: Annotated[
        Path | None,
        typer.Option(help="Print a file of the archive, opened, and delete nothing."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Delete what has been kept long enough, in small commits beside a running service.

    `serve` and `worker` do it by themselves, a little at a time; this does all of it now, and says
    how much that was. Attempts of deliveries are kept for BETALBAR_ATTEMPTS_KEPT_DAYS, answers to
    an Idempotency-Key for 30 days, sessions until they end. Ended deliveries, the bodies of Vipps's
    events and the feed's events are kept for good, unless BETALBAR_DELIVERIES_KEPT_DAYS,
    BETALBAR_BODIES_KEPT_DAYS and BETALBAR_EVENTS_KEPT_DAYS say for how long; they are written to
    BETALBAR_ARCHIVE_FOLDER first. Invoices, their history, and what Vipps's events said and came to
    are the books: they stay. A person is erased by DELETE /v1/customers/ID.
    """
    if read is not None:
        _print_archived(read)
        return
    rows = []
    with opened() as context, progress() as bar:
        archive = archive_of(context)
        for kept in what_is_kept(context):
            task = bar.add_task(f"Deleting {kept.name}", total=None)
            count = 0
            for deleted in clean_all(context, archive, kept):
                count += deleted
                bar.update(task, completed=count)
            rows.append({"what": kept.name, "keptDays": kept.kept_for.days, "deleted": count})
    show_rows(rows, as_json=as_json, empty="")


def _print_archived(file: Path) -> None:
    """Print each row as a line of JSON, phone numbers masked."""
    try:
        lines = file.open("rb")
    except OSError as error:
        reason = (error.strerror or "can't be read").lower()
        raise InvalidInput(FieldError("--read", f"{file}: {reason}")) from error
    with lines, opened() as context, context.database.snapshot() as session:
        for row in read_archive(session, context.vault, lines):
            print(orjson.dumps(row).decode())
