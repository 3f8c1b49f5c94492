"""The version before: the code of the last commit whose migrations are not yet all of ours.

It is taken from the history, as it was, and runs in processes of its own beside today's.
"""

import io
import subprocess
import tarfile
from dataclasses import replace
from pathlib import Path

from tests.flows.processes import FORKED, PYTHON, ROOT, Child

_VERSIONS = "service/store/migrations/versions"
_PACKAGES = ("service", "statemachine", "webhooks")
NO_HISTORY = "NOT RUN: the history does not reach to the version before (a shallow clone?)"


def former_commit() -> str | None:
    """Return the newest commit of this line with fewer migrations than we have, and no others.

    None where there is no history, or it ends before."""
    ours = set(_migrations("HEAD"))
    for commit in _git("rev-list", "--first-parent", "HEAD"):
        theirs = set(_migrations(commit))
        if theirs and theirs < ours:
            return commit
    return None


def former_code(commit: str, folder: Path) -> Path:
    """Unpack that commit's code there, and return where it is."""
    packed = subprocess.run(
        ["git", "archive", "--format=tar", commit, *_PACKAGES],
        cwd=ROOT,
        check=True,
        capture_output=True,
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")
    return folder


def as_former(child: Child, *, code: Path) -> Child:
    """Return the same command as the version before carries it out, not started yet."""
    command = [PYTHON, "-m", "service.cli", *child.command[1:]]
    return replace(child, command=command, environment=_reading(child, code), process=None)


def as_today(child: Child) -> Child:
    """Return what `as_former` was given, not started yet."""
    command = [FORKED, *child.command[3:]]
    return replace(child, command=command, environment=_reading(child, ROOT), process=None)


def newest_revision() -> str:
    """Return which schema today's code makes."""
    return max(path.stem[:4] for path in (ROOT / _VERSIONS).glob("[0-9]*.py"))


def _reading(child: Child, code: Path) -> dict[str, str]:
    return {**child.environment, "PYTHONPATH": str(code)}


def _migrations(commit: str) -> list[str]:
    """Return each migration with the hash of its text: one that was changed is another."""
    listed = _git("ls-tree", commit, f"{_VERSIONS}/")
    return [line for line in listed if not line.endswith("__init__.py")]


def _git(*words: str) -> list[str]:
    """Return the lines that git says; none where there is no repository, or no such thing."""
    try:
        said = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True)
    except FileNotFoundError:
        return []
    return said.stdout.splitlines() if said.returncode == 0 else []
