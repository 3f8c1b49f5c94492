"""Child processes of a test: started, watched, killed and always reaped."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
import uvicorn
from starlette.types import ASGIApp

from tests.flows.forked import Forked
from tests.quick import PromptServer
from tests.written import WRITTEN

T = TypeVar("T")

# Two cores are shared with everything else that is tested; a deadline is no measurement.
DEADLINE_S = 60.0
ROOT = Path(__file__).parents[2]
PYTHON = sys.executable
FORKED = "forked"
# Commands whose output is a log.
_SERVING = frozenset(("serve", "worker"))

# One for all threads, since making one costs 30 ms; no connection is used twice, because a
# killed process leaves them half open.
HTTP = httpx.Client(timeout=40, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0))


class Late(AssertionError):
    """What should have come true has not, in time."""


def eventually(
    look: Callable[[], T], *, within_s: float = DEADLINE_S, every_s: float = 0.05, what: str = ""
) -> T:
    """Return the first true value of `look`; its AssertionErrors count as not yet.

    Raises: Late, with the last failure."""
    give_up_at = time.monotonic() + within_s
    while True:
        last: Any = None
        try:
            if found := look():
                return found
            last = found
        except AssertionError as error:
            last = error
        if time.monotonic() > give_up_at:
            raise Late(f"{what or 'not so'} within {within_s} s: {last}")
        time.sleep(every_s)


def free_port() -> int:
    """Return a port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Child:
    """One process that may be started again; its output is appended to files.

    `command` is a whole command; one that begins with `FORKED` is a `betalbar` command that
    starts in a moment."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    folder: Path
    url: str = ""
    process: "subprocess.Popen[bytes] | Forked | None" = None

    @property
    def stderr(self) -> Path:
        """Return the file that has its standard error."""
        return self.folder / f"{self.name}.err"

    @property
    def stdout(self) -> Path:
        """Return the file that has its standard output."""
        return self.folder / f"{self.name}.out"

    def start(self) -> None:
        """Start it; return before it is ready."""
        assert not self.is_alive()
        if _SERVING.intersection(self.command):
            WRITTEN.watch(self.stdout, self.stderr, environment=self.environment)
        if self.command[0] == FORKED:
            self.process = Forked(
                self.command[1:],
                environment=self.environment,
                folder=self.folder,
                out=self.stdout,
                err=self.stderr,
            )
            return
        with self.stdout.open("ab") as out, self.stderr.open("ab") as err:
            self.process = subprocess.Popen(
                self.command, cwd=self.folder, env=dict(self.environment), stdout=out, stderr=err
            )

    def is_alive(self) -> bool:
        """Tell whether it still runs; reaps it if it does not."""
        return self.process is not None and self.process.poll() is None

    def kill(self) -> None:
        """Let it end at this very instant, wherever it is (SIGKILL)."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(DEADLINE_S)

    def stop(self, *, within_s: float = DEADLINE_S) -> int:
        """Ask it to end (SIGTERM), and return its exit code. Raises: TimeoutExpired."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(within_s)

    def is_ready(self, path: str) -> bool:
        """Tell whether it answers 200 there. Raises: AssertionError, if it ended by itself."""
        if not self.is_alive():
            raise RuntimeError(f"{self.name} ended: {self.stderr.read_text()[-2000:]}")
        return self._answers(path)

    def _answers(self, path: str) -> bool:
        try:
            return HTTP.get(self.url + path, timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    def is_up_or_ends(self, path: str, *, within_s: float = DEADLINE_S) -> bool:
        """Wait until it answers 200 there, or has ended by itself; tell which."""
        eventually(
            lambda: not self.is_alive() or self._answers(path),
            within_s=within_s,
            what=f"{self.name} up or ended",
        )
        return self.is_alive()

    def wait_ready(self, path: str, *, within_s: float = DEADLINE_S) -> None:
        """Return once it answers 200 there."""
        eventually(lambda: self.is_ready(path), within_s=within_s, what=f"{self.name} ready")


def clean_environment(**more: str) -> dict[str, str]:
    """Return an environment with nothing of Betalbar in it but what is given."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("BETALBAR_")}
    return kept | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"} | more


class Served:
    """An ASGI app in a thread of the test: it outlives every kill of the service."""

    def __init__(self, app: ASGIApp) -> None:
        """Choose a port; `start` listens on it."""
        self._app = app
        self._server: PromptServer | None = None
        self._thread: threading.Thread | None = None
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Serve, on the same port every time."""
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", self.port))
        listening.listen(256)
        config = uvicorn.Config(
            self._app, lifespan="off", log_level="critical", timeout_graceful_shutdown=1
        )
        self._server = server = PromptServer(config)
        self._thread = threading.Thread(target=_serve, args=(server, listening), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Refuse connections from now on."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join()
            self._server = None


def _serve(server: PromptServer, listening: socket.socket) -> None:
    with listening:
        server.run(sockets=[listening])
