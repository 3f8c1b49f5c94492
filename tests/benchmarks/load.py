"""The load: Debian's `wrk`, which is compiled, sending what was signed before.

A closed loop: each of the connections sends its next request when the last one is answered.
"""

import json
import resource
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

CONNECTIONS = 64
_SCRIPT = Path(__file__).with_name("wrk.lua")
_LATE_S = 30


class LoadFailed(Exception):
    """The load generator did not do what it was asked to."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What came back in one round."""

    duration_s: float
    answered: int  # with 200
    refused: int  # with anything else
    sent: int  # some are without an answer when time is up
    was_too_short: bool  # all was sent before time was up
    p50_ms: float
    p99_ms: float
    cpu_s: float = 0.0  # of the generator itself

    @property
    def per_s(self) -> float:
        """Return the rate of good answers."""
        return self.answered / self.duration_s


def require_wrk() -> str:
    """Return where `wrk` is. Raises: LoadFailed, saying how to get it."""
    found = shutil.which("wrk")
    if found is None:
        raise LoadFailed(
            "NOT RUN: the load comes from wrk, which is not installed.\n"
            "  Debian, Ubuntu: apt install wrk     macOS: brew install wrk"
        )
    return found


def post_all(
    requests: Path, size: int, *, port: int, seconds: float, connections: int = CONNECTIONS
) -> Answers:
    """Send a file's requests, each of this length, until they or the time end.

    Raises: LoadFailed."""
    command = [
        *(require_wrk(), "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s"),
        *("--timeout", "10s", "-s", str(_SCRIPT), f"http://127.0.0.1:{port}"),
        *("--", str(requests), str(size)),
    ]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run = subprocess.run(
        command, capture_output=True, text=True, timeout=seconds + _LATE_S, check=False
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    last = run.stdout.strip().rpartition("\n")[2]
    if run.returncode != 0 or not last.startswith("{"):
        raise LoadFailed(f"wrk: {run.stderr.strip()[-500:]} {last[-500:]}")
    said = json.loads(last)
    return Answers(
        duration_s=said["duration_us"] / 1e6,
        answered=said["answered"] - said["refused"],
        refused=said["refused"] + said["broken"],
        sent=said["sent"],
        was_too_short=bool(said["is_empty"]),
        p50_ms=said["p50_us"] / 1000,
        p99_ms=said["p99_us"] / 1000,
        cpu_s=after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
    )
