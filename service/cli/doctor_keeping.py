"""What `betalbar doctor` says of what is let go of: for how long, since when, and to where."""

import os
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa
from sqlmodel import Session, col

from service.cli.findings import Finding
from service.context import Context
from service.keeping.kinds import what_is_kept
from service.store.tables import LetGo


def examine_keeping(context: Context, session: Session) -> Iterator[Finding]:
    """Yield how long things are kept that can be kept for good, and whether their archive is."""
    times = {kept.name: f"{kept.kept_for.days} days" for kept in what_is_kept(context)}
    yield Finding("kept", True, "; ".join(f"{name} {time}" for name, time in times.items()))
    gone = sa.select(LetGo).where(col(LetGo.told_at).is_not(None)).order_by(col(LetGo.msn))
    for unit in session.scalars(gone):
        yield Finding("feed", True, f"of {unit.msn} it begins after {unit.told_at:%Y-%m-%d}")
    folder = context.settings.archive_folder
    if folder and not _is_writable(Path(folder)):
        yield Finding(
            "archive",
            False,
            f"{folder} can't be written to, so nothing that belongs there is deleted",
            "let this user write to BETALBAR_ARCHIVE_FOLDER",
        )


def _is_writable(folder: Path) -> bool:
    """Tell whether files can be made in a folder, or, where there is none yet, above it."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)
