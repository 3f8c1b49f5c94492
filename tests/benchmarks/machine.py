"""What it was measured on, and who else was there."""

import os
import platform
import shutil
import sqlite3
import subprocess
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

_PACKAGES = ("uvicorn", "starlette", "sqlalchemy", "sqlmodel", "psycopg", "httpx")


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine as a reader of the figures must know it."""

    processor: str
    cores: int
    memory_gib: float
    system: str
    versions: dict[str, str]
    load_before: float  # processes that ran or waited, on average over the last minute

    @property
    def is_shared(self) -> bool:
        """Tell whether others were at work already when this began."""
        return self.load_before > 0.25 * self.cores

    def as_json(self) -> dict[str, Any]:
        """Return it for a file."""
        return {**asdict(self), "is_shared": self.is_shared}

    def lines(self) -> list[str]:
        """Return it for people."""
        named = ", ".join(f"{name} {number}" for name, number in self.versions.items())
        lines = [
            f"{self.cores} cores of {self.processor}, {self.memory_gib:.0f} GiB, {self.system}",
            named,
        ]
        if self.is_shared:
            lines.append(
                f"OTHERS ARE AT WORK HERE: a load of {self.load_before:.1f} on {self.cores} cores"
                " before this began. Read ratios, not rates; CPU per event suffers least."
            )
        return lines


def this_machine() -> Machine:
    """Look at this machine."""
    return Machine(
        processor=_processor(),
        cores=os.cpu_count() or 1,
        memory_gib=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30,
        system=f"{platform.system()} {platform.release()}",
        versions={
            "Python": platform.python_version(),
            "SQLite": sqlite3.sqlite_version,
            **{name: version(name) for name in _PACKAGES},
            **_tool("node", "--version"),
        },
        load_before=os.getloadavg()[0],
    )


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or "an unknown processor")


def _tool(name: str, *arguments: str) -> dict[str, str]:
    if shutil.which(name) is None:
        return {}
    run = subprocess.run([name, *arguments], capture_output=True, text=True, check=False)
    return {name: run.stdout.strip().lstrip("v")}
