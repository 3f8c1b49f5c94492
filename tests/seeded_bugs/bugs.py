"""The patches, each with what it breaks and the tests that must fail with it."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PATCHES = Path(__file__).parent / "patches"
_CAUGHT_BY = "Caught by: "


@dataclass(frozen=True, slots=True)
class Bug:
    """One patch; its head says in a line what it breaks, then which tests catch it."""

    name: str
    breaks: str
    tests: tuple[str, ...]
    patch: Path


def bugs() -> list[Bug]:
    """Return every bug, by name."""
    return [_read(path) for path in sorted(PATCHES.glob("*.patch"))]


def apply(bug: Bug, tree: Path, *options: str) -> str:
    """Apply a patch to a tree, or with `--check` only try; return what is wrong, or nothing.

    Not one line of what surrounds it may differ: a patch that half fits breaks something else."""
    command = ["git", "apply", *options, str(bug.patch)]
    ended = subprocess.run(command, cwd=tree, capture_output=True, text=True)
    return ended.stderr.strip() if ended.returncode else ""


def _read(path: Path) -> Bug:
    breaks, *lines = path.read_text().partition("\n\n")[0].splitlines()
    tests = tuple(line.removeprefix(_CAUGHT_BY) for line in lines)
    return Bug(path.stem, breaks, tests, path)
