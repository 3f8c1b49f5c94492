"""Servers under load: started, counted in CPU seconds, and always ended."""

import base64
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.benchmarks.webhooks import MSN, Address
from tests.flows.processes import PYTHON, Child, clean_environment, eventually

# Two seconds of imports, on a machine where others may be at work.
_READY_S = 120

SECRET = "c2VjcmV0LW9mLXRoZS1iZW5jaG1hcms"
API_KEY = "key-of-the-benchmark"
SERVE_WITH_WORKER = (PYTHON, "-m", "service.cli", "serve")
SERVE = (*SERVE_WITH_WORKER, "--no-worker")
VERIFY_ONLY = (PYTHON, "-m", "tests.benchmarks.peers.verify_only")
BARE = (PYTHON, "-m", "tests.benchmarks.peers.bare")


def settings_for(database_url: str, port: int) -> dict[str, str]:
    """Return the environment of our service on that port; its Vipps is nowhere."""
    return clean_environment(
        BETALBAR_DATABASE_URL=database_url,
        BETALBAR_PORT=str(port),
        BETALBAR_VIPPS_URL="http://127.0.0.1:9",
        BETALBAR_VIPPS_MSN=MSN,
        BETALBAR_VIPPS_CLIENT_ID="a-client",
        BETALBAR_VIPPS_CLIENT_SECRET="a-secret",
        BETALBAR_VIPPS_SUBSCRIPTION_KEY="a-key",
        BETALBAR_VIPPS_WEBHOOK_SECRET=SECRET,
        BETALBAR_API_KEY=API_KEY,
        # All of the load comes from one address, as from a proxy.
        BETALBAR_TRUSTED_PROXIES="127.0.0.1",
        BETALBAR_MASTER_KEYS=base64.urlsafe_b64encode(os.urandom(32)).decode(),
        BETALBAR_LOG="json",
    )


def address_of(port: int) -> Address:
    """Return where webhooks for a server on that port go."""
    return Address(f"127.0.0.1:{port}", SECRET)


@contextmanager
def server(
    name: str, command: Sequence[str], environment: Mapping[str, str], *, port: int, folder: Path
) -> Iterator[psutil.Process]:
    """Run a server until the block ends; it is ready when `/healthz` answers 200."""
    child = Child(name, list(command), dict(environment), folder, f"http://127.0.0.1:{port}")
    child.start()
    try:
        eventually(lambda: child.is_ready("/healthz"), within_s=_READY_S, what=f"{name} ready")
        assert isinstance(child.process, subprocess.Popen)
        process = psutil.Process(child.process.pid)
        yield process
    finally:
        _end(child)


def _end(child: Child) -> None:
    """End a server and the processes that it has started; none of them is asked twice."""
    if isinstance(child.process, subprocess.Popen) and child.is_alive():
        family = psutil.Process(child.process.pid).children(recursive=True)
        child.kill()
        for each in family:
            if each.is_running():
                each.kill()


def cpu_s(process: psutil.Process) -> float:
    """Return the CPU time that a process and its children have used, the ended ones too."""
    used = process.cpu_times()
    total = used.user + used.system + used.children_user + used.children_system
    for each in process.children(recursive=True):
        try:
            times = each.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return float(total)
