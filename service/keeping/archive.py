"""Where rows are written before they are deleted: JSON lines, as sealed as in the database.

One file for each day and process, which its owner alone may read. A line is on disk before its
row is deleted. Who is killed between the two finds the row again and writes it once more: of two
lines with the same `kind` and `id` the later one counts. What is sealed stays sealed, and for its
old place: who takes the archive has no more than who takes a backup, and a person who is erased
can't be read in it either.
"""

import base64
import os
import secrets
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any, Protocol

import orjson
import sqlalchemy as sa

from service.clock import Clock
from service.errors import ServiceError
from service.store.folders import sync_folder


class ArchiveAway(ServiceError):
    """The archive can't be written; nothing was deleted."""


class Archive(Protocol):
    """Takes what is about to be deleted."""

    def keep(self, kind: str, rows: Sequence[sa.Row[Any]]) -> None:
        """Have these rows kept, for certain, once this returns. Raises: ArchiveAway."""


class NoArchive:
    """Keeps nothing: what is deleted is gone."""

    def keep(self, kind: str, rows: Sequence[sa.Row[Any]]) -> None:
        """Do nothing."""


class FolderArchive:
    """Writes to files of its own in a folder that other processes may write to as well."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        """Name the folder; nothing is looked at yet."""
        self._folder = folder
        self._clock = clock
        self._file: Path | None = None
        self._day: date | None = None

    def keep(self, kind: str, rows: Sequence[sa.Row[Any]]) -> None:
        """Write a line for each row, and have them on disk. Raises: ArchiveAway."""
        if not rows:
            return
        lines = b"".join(_line(kind, row._mapping) for row in rows)
        try:
            self._append(lines)
        except OSError as error:
            # Half a line may stand at its end: the next one goes into another file.
            self._file = None
            reason = (error.strerror or "can't be written").lower()
            raise ArchiveAway(f"{self._folder}: {reason}") from error

    def _append(self, lines: bytes) -> None:
        today = self._clock.now().date()
        if self._file is None or self._day != today:
            self._file, self._day = self._new_file(today), today
        # Opened each time: whoever moves a file away gets a new one, and no line into the void.
        descriptor = os.open(self._file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with open(descriptor, "wb") as file:
            file.write(lines)
            file.flush()
            os.fsync(file.fileno())
        sync_folder(self._folder)

    def _new_file(self, today: date) -> Path:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self._folder / f"betalbar-{today.isoformat()}-{secrets.token_hex(4)}.jsonl"


def _line(kind: str, row: Mapping[Any, Any]) -> bytes:
    plain = {"kind": kind, **{str(name): _plain(value) for name, value in row.items()}}
    return orjson.dumps(plain, option=orjson.OPT_APPEND_NEWLINE)


def _plain(value: Any) -> Any:
    if isinstance(value, bytes | memoryview):
        return base64.b64encode(value).decode()
    # To the microsecond, as it stands in the database.
    return value.isoformat(timespec="microseconds") if isinstance(value, datetime) else value
