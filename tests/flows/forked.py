"""Processes that start in a moment: forked from one that has imported the service already.

Each is a process of its own, and is killed like any other; only the two seconds of imports are
spared. Thirty kills on two cores would mostly measure those.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from service.cli.program import MODULES

# The first argument of a command that is to die at a point of `tests.flows.killed_at`.
KILLED_AT = "killed-at"
# That of a sandbox by `tests.flows.sandbox_process`.
SANDBOX = "sandbox-process"

_CONTEXT = multiprocessing.get_context("forkserver")
# A command loads its own module only; here each is there before the first is asked for.
_CONTEXT.set_forkserver_preload(
    ["service.app", *MODULES, "tests.flows.sandbox_process", "tests.flows.forked"]
)


class Forked:
    """A running `betalbar` command, with the methods of `subprocess.Popen` that are used."""

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        environment: Mapping[str, str],
        folder: Path,
        out: Path,
        err: Path,
    ) -> None:
        """Start it; return before it is ready."""
        told = (tuple(arguments), dict(environment), str(folder), str(out), str(err))
        self._process = _CONTEXT.Process(target=_run, args=told, daemon=True)
        self._process.start()

    @property
    def pid(self) -> int:
        """Return the number of the process."""
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        """Return the exit code, None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code once it has ended. Raises: TimeoutExpired."""
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            raise subprocess.TimeoutExpired("betalbar", timeout or 0)
        return code

    def kill(self) -> None:
        """Send SIGKILL."""
        self._process.kill()

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        if self._process.pid is not None and self.poll() is None:
            os.kill(self._process.pid, number)


def _run(
    arguments: Sequence[str], environment: Mapping[str, str], folder: str, out: str, err: str
) -> None:
    """Become the command: its environment, its folder, its output, its exit code."""
    for path, number in ((out, 1), (err, 2)):
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.dup2(descriptor, number)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    if arguments[0] == KILLED_AT:
        from tests.flows import killed_at

        killed_at.main(arguments[1:])
        return
    if arguments[0] == SANDBOX:
        from tests.flows import sandbox_process

        sandbox_process.main(*arguments[1:])
        return
    sys.argv = ["betalbar", *arguments]
    from service.cli import main

    main()
