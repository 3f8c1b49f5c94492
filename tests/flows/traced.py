"""A running process seen by `strace`: what it asks of the system, and what it is refused there."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.flows.processes import DEADLINE_S

_STRACE = "/usr/bin/strace"
# Where it ends with this before it has begun, it may not look into others.
_NOT_ALLOWED = re.compile(r"Operation not permitted|PTRACE")


@contextmanager
def traced(
    pid: int, *expressions: str, to: Path = Path(os.devnull), file: Path | None = None
) -> Iterator[None]:
    """Watch every thread of a process until the block ends, by these expressions of strace.

    `file`: only what it does to that one.

    Skips, loudly, where there is no strace or it may not look into other processes."""
    if shutil.which(_STRACE) is None:
        pytest.skip("NOT RUN: needs strace")
    flags = [word for expression in expressions for word in ("-e", expression)]
    flags += ["-P", str(file)] if file is not None else []
    command = [_STRACE, "-f", "-s", "64", "-o", str(to), *flags, "-p", str(pid)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as watching:
        assert watching.stderr is not None
        said = watching.stderr.readline()
        if _NOT_ALLOWED.search(said):
            pytest.skip(f"NOT RUN: strace may not look into other processes: {said}")
        assert "attached" in said, said
        try:
            yield
        finally:
            # It lets the process go, which runs on as before.
            watching.terminate()
            watching.wait(DEADLINE_S)


def is_synced_before_each(answer: str, trace: Path) -> list[bool]:
    """Tell of each answer in a trace whether what was written before it had been synced by then."""
    told: list[bool] = []
    is_written = is_synced = False
    for line in trace.read_text().splitlines():
        if "pwrite64(" in line:
            is_written, is_synced = True, False
        elif re.search(r"f(?:data)?sync.*\) += 0", line):
            is_synced = is_written
        elif answer in line:
            told.append(is_synced)
            is_written = is_synced = False
    return told
