"""`betalbar backup` and `restore`: a copy of an SQLite database, and the way back from it.

PostgreSQL has its own tools, which know more than we could; docs/how-to/postgresql.md names them.
"""

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from glob import escape
from pathlib import Path
from typing import Annotated
from uuid import uuid4

import sqlalchemy as sa
import typer

from service.audit.chain import check_all
from service.audit.verify import describe
from service.cli.output import AsJson, progress, show_json
from service.errors import Conflict, FieldError, InvalidInput, NotFound
from service.opening import open_context
from service.settings import Settings, load_settings
from service.store.folders import sync_folder
from service.store.recovery import begin_recovery, recoveries

_LOOK_S = 0.2


def backup(
    file: Annotated[Path, typer.Argument(help="Where to; must not be there yet.")],
    as_json: AsJson = False,
) -> None:
    """Copy the SQLite database as it is at one instant, also while the service runs.

    The copy is checked before it gets its name, and only its owner may read it. What is sealed in
    the database is sealed in the copy: the master keys are not in it, so keep them elsewhere. On
    PostgreSQL use pg_dump.
    """
    settings = load_settings()
    source = _sqlite_file(settings)
    if not source.exists():
        raise NotFound(f"there is no database {source}")
    with _draft_of(file) as draft:
        _copy(source, draft)
        _require_sound(draft)
    size = file.stat().st_size
    if as_json:
        show_json({"file": str(file), "bytes": size})
    else:
        print(f"{file} has all of it, {size / 1e6:.1f} MB, and is sound.")
        print(f"It is opened by {_keys_of(settings)}, which are not in it.")


def restore(
    file: Annotated[Path, typer.Argument(help="A file that `betalbar backup` made.")],
    as_json: AsJson = False,
) -> None:
    """Put a backup into place, in recovery: it sends nothing until it knows what Vipps did since.

    Stop the service first, and move the database away: nothing is written over. The copy is brought
    to this version's schema, and every history is checked; only then does it become the database.
    Start the service afterwards: it reads at Vipps every payment that may have moved since the
    backup, before it sends anything, as `betalbar recover` says. Readers of the feed whose place is
    beyond its end are refused, and start anew. What can't be trusted ends with 1, and leaves
    nothing behind.
    """
    settings = load_settings()
    target = _sqlite_file(settings)
    if not file.exists():
        raise NotFound(f"there is no file {file}")
    with _draft_of(target) as draft:
        _copy(file, draft)
        _require_sound(draft)
        left = _prepare(settings, draft)
    if as_json:
        show_json({"database": str(target), "leftToRead": left})
    else:
        print(f"{target} is restored. Left to read at Vipps, before anything is sent: {left}.")
        print("Next: betalbar serve")


def _prepare(settings: Settings, draft: Path) -> int:
    """Bring the copy to this version's schema, check its histories, and begin its recovery.

    Returns how much is to be read at Vipps. Raises: Conflict, NotFound, …"""
    given = settings.model_copy(update={"database_url": f"sqlite:///{draft}"})
    # The keys are those of the database's own name, not of the draft's.
    _require_keys(settings)
    context = open_context(given, key_file=settings.key_file)
    try:
        with context.database.snapshot() as session:
            faults = [one for one in check_all(session, context.vault) if one is not None]
        if faults:
            raise Conflict("conflict", "; ".join(map(describe, faults[:5])))
        with context.database.transaction() as session:
            # Before it has its name: nothing ever serves a restored database without the mark.
            begin_recovery(session, now=context.clock.now())
            return sum(one.left_to_read for one in recoveries(session))
    finally:
        context.database.dispose()


def _sqlite_file(settings: Settings) -> Path:
    url = sa.make_url(settings.database_url)
    if url.get_backend_name() != "sqlite":
        raise Conflict("conflict", "this is for SQLite; on PostgreSQL use pg_dump and pg_restore")
    return Path(url.database or "")


def _require_keys(settings: Settings) -> None:
    if not settings.master_keys and not settings.key_file.exists():
        raise NotFound(f"the keys are missing: set BETALBAR_MASTER_KEYS, or {settings.key_file}")


def _keys_of(settings: Settings) -> str:
    return "BETALBAR_MASTER_KEYS" if settings.master_keys else f"the keys in {settings.key_file}"


@contextmanager
def _draft_of(file: Path) -> Iterator[Path]:
    """Give a name beside it, which becomes its name if the block ends well.

    The draft's name is this run's alone: what another leaves, or still writes, is never taken for
    it. What was left is removed; one that still wrote there ends without a file. Raises: Conflict,
    where the name is taken already."""
    draft = file.with_name(f"{file.name}.draft-{uuid4().hex[:8]}")
    try:
        for left in file.parent.glob(f"{escape(file.name)}.draft-*"):
            left.unlink(missing_ok=True)
        # SQLite would take a log that lies beside it for the new file's own.
        for taken in _files_of(file):
            if taken.exists():
                raise Conflict("conflict", f"{taken} is there already, and is not written over")
        os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        yield draft
        _make_durable(draft)
        # A link is refused where somebody was faster; a rename would write over it.
        os.link(draft, file)
        sync_folder(file.parent)
    except OSError as error:
        reason = (error.strerror or "can't be written").lower()
        raise InvalidInput(FieldError("FILE", f"{file}: {reason}")) from error
    finally:
        for each in _files_of(draft):
            each.unlink(missing_ok=True)


def _files_of(database: Path) -> list[Path]:
    return [database.with_name(database.name + ending) for ending in ("", "-wal", "-shm")]


def _make_durable(draft: Path) -> None:
    """Have all of it in the one file, and that on disk."""
    with closing(sqlite3.connect(draft)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    descriptor = os.open(draft, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _copy(source: Path, draft: Path) -> None:
    """Write the database's state of this instant; writers go on meanwhile."""
    ended = threading.Event()
    with progress() as bar:
        task = bar.add_task("copying", total=source.stat().st_size)

        def watch() -> None:
            while not ended.wait(_LOOK_S):
                bar.update(task, completed=draft.stat().st_size)

        watching = threading.Thread(target=watch, daemon=True)
        watching.start()
        try:
            with closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as one:
                one.execute("VACUUM INTO ?", (str(draft),))
        except sqlite3.DatabaseError as error:
            raise InvalidInput(FieldError("FILE", f"{source}: {error}")) from error
        finally:
            ended.set()
            watching.join()


def _require_sound(draft: Path) -> None:
    with closing(sqlite3.connect(draft)) as connection:
        try:
            found = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
        except sqlite3.DatabaseError as error:
            found = str(error)
    if found != "ok":
        raise Conflict("conflict", f"the copy is not sound: {found}")
