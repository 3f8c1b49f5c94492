"""Servers under load: started, counted in CPU seconds, and always ended."""

import base64
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.benchmarks.webhooks import MSN, Address
from tests.flows.processes import PYTHON, Child, clean_environment, free_port

SECRET = "c2VjcmV0LW9mLXRoZS1iZW5jaG1hcms"
SERVE = (PYTHON, "-m", "service.cli", "serve", "--no-worker")
VERIFY_ONLY = (PYTHON, "-m", "tests.benchmarks.peers.verify_only")


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
        BETALBAR_API_KEY="key-of-the-benchmark",
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
    """Run a server until the block ends; it is ready when it answers anything at all."""
    child = Child(name, list(command), dict(environment), folder, f"http://127.0.0.1:{port}")
    child.start()
    try:
        child.wait_ready("/healthz")
        assert child.process is not None
        yield psutil.Process(child.process.pid)
    finally:
        child.kill()


def cpu_s(process: psutil.Process) -> float:
    """Return the CPU time that a process and its children have used."""
    total = 0.0
    for each in (process, *process.children(recursive=True)):
        times = each.cpu_times()
        total += times.user + times.system
    return total


__all__ = ["PYTHON", "SERVE", "VERIFY_ONLY", "address_of", "cpu_s", "free_port", "server"]
