"""The machine's clock as one process sees it, turned while it runs (libfaketime)."""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.flows.processes import FORKED, Child
from tests.flows.stack import BETALBAR

_LIBRARIES = tuple(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))


def has_faketime() -> bool:
    """Tell whether a process can be given a clock here."""
    return bool(_LIBRARIES)


@dataclass(frozen=True, slots=True)
class WallClock:
    """What every process that it is given takes for the time; durations stay as they are."""

    file: Path

    def __post_init__(self) -> None:
        """Begin with the right time. Skips, loudly, where there is no libfaketime."""
        if not has_faketime():
            pytest.skip("NOT RUN: needs libfaketime (Debian: apt install faketime)")
        self.turn(0)

    def turn(self, seconds: int) -> None:
        """Let the clock be so far ahead of the right time from now on, or behind it."""
        changed = self.file.with_suffix(".new")
        changed.write_text(f"{seconds:+d}\n")
        changed.rename(self.file)

    def given_to(self, child: Child) -> Child:
        """Return the process with this clock; a forked one would be linked already."""
        command = [BETALBAR if word == FORKED else word for word in child.command]
        environment = {
            **child.environment,
            "LD_PRELOAD": str(_LIBRARIES[0]),
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        return replace(child, command=command, environment=environment)
