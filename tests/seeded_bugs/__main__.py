"""Break a copy of the code, a patch at a time, and see that the tests notice.

`python -m tests.seeded_bugs [NAME ...]`. The working tree is never touched. Ends with 1 where a bug
is not caught, its patch no longer applies, or its tests fail without it.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.seeded_bugs.bugs import ROOT, Bug, apply, bugs

_WITHIN_S = 600
# What pytest ends with where tests ran and some failed; a broken import or name ends otherwise.
_FAILED = 1
_PARTS = ("service", "statemachine", "webhooks", "tests", "pyproject.toml")


def main(names: Sequence[str]) -> int:
    """Try the bugs of these names, or all; return the exit code."""
    chosen = [bug for bug in bugs() if not names or bug.name in names]
    if not chosen or len(chosen) < len(names):
        print("No such bug; known are: " + ", ".join(bug.name for bug in bugs()))
        return 2
    with tempfile.TemporaryDirectory(prefix="betalbar-bugs-") as folder:
        tree = Path(folder) / "tree"
        tree.mkdir()
        for part in _PARTS:
            _copy(ROOT / part, tree / part)
        tests = dict.fromkeys(test for bug in chosen for test in bug.tests)
        if _tested(tree, list(tests)):
            print("The tests fail without any bug; nothing can be said.")
            return 1
        wrong = [bug.name for bug in chosen if not _is_caught(bug, tree)]
    print(f"{len(chosen) - len(wrong)} of {len(chosen)} caught.", *wrong)
    return 1 if wrong else 0


def _copy(source: Path, target: Path) -> None:
    if source.is_file():
        shutil.copy(source, target)
    else:
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))


def _is_caught(bug: Bug, tree: Path) -> bool:
    """Tell whether the tests notice the bug, and say it; the tree is afterwards as before."""
    begun = time.monotonic()
    problem = apply(bug, tree)
    if problem:
        print(f"DOES NOT APPLY  {bug.name}: {problem}", flush=True)
        return False
    is_caught = _tested(tree, bug.tests) == _FAILED
    undone = apply(bug, tree, "--reverse")
    if undone:
        raise RuntimeError(f"{bug.name} can't be taken back: {undone}")
    verdict = "caught" if is_caught else "NOT CAUGHT"
    print(f"{verdict:14}  {time.monotonic() - begun:5.1f} s  {bug.name}: {bug.breaks}", flush=True)
    return is_caught


def _tested(tree: Path, tests: Sequence[str]) -> int:
    """Run tests in the tree, until one fails; return how pytest ended."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    # The tree comes before what is installed, for processes that tests start as well; what was
    # compiled a moment ago could pass for what is there now.
    own = {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    ended = subprocess.run(
        command,
        cwd=tree,
        env=os.environ | own,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=_WITHIN_S,
    )
    return ended.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
