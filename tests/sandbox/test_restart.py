"""What a killed sandbox still knows."""

import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

from tests.sandbox import harness
from tests.sandbox.harness import (
    Merchant,
    a_long_payment,
    a_payment,
    free_port,
    is_up,
    until,
)
from tests.sandbox.receiver import Receiver

KILLS = 4


@contextmanager
def process(path: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run a sandbox in a process of its own; kill it at the end, if it still runs."""
    command = [sys.executable, "-m", "tests.sandbox.serve", str(path), str(port)]
    with subprocess.Popen(command) as running:
        until(lambda: is_up(port))
        try:
            yield running
        finally:
            running.send_signal(signal.SIGKILL)


@contextmanager
def running(path: Path, port: int) -> Iterator[Merchant]:
    """Run a sandbox and give a merchant; it ends with SIGKILL."""
    with process(path, port), harness.merchant(f"http://127.0.0.1:{port}") as merchant:
        yield merchant


def test_killed_sandbox_keeps_everything(tmp_path: Path, receiver: Receiver) -> None:
    """Payments, keys, tokens, registrations, settings, the clock: all outlive a kill."""
    port, path = free_port(), tmp_path / "sandbox.db"
    with running(path, port) as merchant:
        made = merchant.register(receiver.url)
        merchant.client.put(f"/sandbox/sales-units/{merchant.msn}", json={"nin": True})
        merchant.create(a_payment("invoice-0001", profile={"scope": "name"}))
        merchant.act("approve", "invoice-0001")
        merchant.adjust("capture", "invoice-0001", value=5_000, key="c")
        merchant.create(a_long_payment("invoice-0002"))
        merchant.advance(60)
        receiver.wait_for(4)
        before, effects = merchant.get("invoice-0001"), merchant.effects()
        token = merchant.token

    with running(path, port) as merchant:
        merchant.token = token
        assert merchant.get("invoice-0001") == before
        assert merchant.effects() == effects
        again = merchant.adjust("capture", "invoice-0001", value=5_000, key="c")
        assert (again.status_code, merchant.effects()) == (200, effects)
        assert merchant.registrations()[0]["id"] == made["id"]
        assert merchant.client.get("/sandbox/clock").json()["offsetSeconds"] == 60
        merchant.advance(12 * 3600)
        last = receiver.wait_for(5)[-1]

    assert (last.event["reference"], last.name) == ("invoice-0002", "EXPIRED")
    last.verify(receiver.url, made["secret"])


def test_killed_sandbox_still_delivers(tmp_path: Path, receiver: Receiver) -> None:
    """A webhook that nobody took before the kill comes after the restart, still in order."""
    port, path = free_port(), tmp_path / "sandbox.db"
    receiver.answer_with = lambda _: 500
    with running(path, port) as merchant:
        merchant.register(receiver.url)
        merchant.create(a_payment("invoice-0001"))
        merchant.act("approve", "invoice-0001")
        receiver.wait_for(2)
    receiver.answer_with = lambda _: 200
    before = len(receiver.received)

    with running(path, port):
        names = [r.name for r in receiver.wait_for(before + 2)[before:]]

    assert names == ["CREATED", "AUTHORIZED"]


def test_killed_at_random_instants_no_answered_effect_is_lost(tmp_path: Path) -> None:
    """Whatever was answered has happened once, and whatever happened is whole."""
    port, path = free_port(), tmp_path / "sandbox.db"
    dice = random.Random(20261122)
    answered: list[str] = []
    for round_number in range(KILLS):
        with process(path, port) as running_process:
            kill_after = dice.uniform(0.05, 0.4)
            timer = threading.Timer(kill_after, os.kill, (running_process.pid, signal.SIGKILL))
            timer.start()
            with harness.merchant(f"http://127.0.0.1:{port}") as merchant:
                create_until_killed(merchant, f"round-{round_number}", answered)
            timer.join()

    with running(path, port) as merchant:
        effects = [e["reference"] for e in merchant.effects()]
        items = merchant.client.get("/sandbox/payments").json()["items"]

    assert len(answered) > KILLS
    assert len(effects) == len(set(effects))
    assert set(answered) <= set(effects)
    assert {item["reference"] for item in items} == set(effects)
    assert {len(item["events"]) for item in items} == {1}


def create_until_killed(merchant: Merchant, prefix: str, answered: list[str]) -> None:
    """Make payments until nobody answers any more; note those that were answered."""
    with suppress(httpx.TransportError):
        for number in range(10_000):
            reference = f"{prefix}-{number:05}"
            if merchant.create(a_payment(reference)).status_code == 201:
                answered.append(reference)
