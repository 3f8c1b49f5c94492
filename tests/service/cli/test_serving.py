"""`betalbar serve` as a process of its own: what it prints, serves, and leaves behind."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from markdown_it import MarkdownIt

README = Path(__file__).parents[3] / "README.md"
START_WITHIN_S = 30.0
DEADLINE_S = 20.0


@dataclass(frozen=True, slots=True)
class Served:
    """One running service, and what it has printed."""

    process: subprocess.Popen[str]
    url: str
    key: str
    introduction: str


@contextmanager
def served(folder: Path, *words: str) -> Iterator[Served]:
    """Serve in `folder` on a free port until the block ends."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    kept = {k: v for k, v in os.environ.items() if not k.startswith("BETALBAR_")}
    settings = {"BETALBAR_PORT": str(port), "BETALBAR_SUBSCRIBER_ALLOW": "127.0.0.0/8"}
    process = subprocess.Popen(
        [sys.executable, "-m", "service.cli", "serve", *words],
        cwd=folder,
        env=kept | settings | {"PYTHONPATH": str(README.parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(4)]
        key = lines[2].split()[-1]
        url = f"http://127.0.0.1:{port}"
        _wait_for(lambda: httpx.get(f"{url}/readyz").is_success, within_s=START_WITHIN_S)
        yield Served(process, url, key, "".join(lines))
    finally:
        process.kill()
        process.communicate()


def test_serve_prints_its_urls_and_a_key_that_works(tmp_path: Path) -> None:
    """A developer copies what is printed, and is in."""
    with served(tmp_path) as one:
        headers = {"Authorization": f"Bearer {one.key}"}
        answer = httpx.get(f"{one.url}/v1/invoices", headers=headers)

        assert f"Betalbar is at {one.url}" in one.introduction
        assert f"{one.url}/sandbox/payments" in one.introduction
        assert answer.json()["items"] == []
        assert "server" not in answer.headers


def test_serve_with_samples_has_invoices_in_several_states(tmp_path: Path) -> None:
    """`make run` has something to look at."""
    expected = {
        "sample-waiting": "pushed",
        "sample-authorized": "authorized",
        "sample-captured": "captured",
        "sample-rejected": "aborted",
    }

    with served(tmp_path, "--samples") as one:
        _wait_for(lambda: _states(one) == expected)

        assert _states(one) == expected


def test_serve_stopped_by_sigterm_ends_with_zero_and_nothing_lost(tmp_path: Path) -> None:
    """A deployment stops the old version in good order, within ten seconds."""
    with served(tmp_path) as one:
        body = {
            "amount": {"currency": "NOK", "value": 100},
            "customer": {"phoneNumber": "4791234567"},
            "reference": "before-the-stop",
        }
        made = httpx.post(f"{one.url}/v1/invoices", json=body, headers=_headers(one))
        one.process.send_signal(signal.SIGTERM)
        code = one.process.wait(timeout=12)

    with served(tmp_path) as again:
        _wait_for(lambda: _states(again) == {"before-the-stop": "pushed"})

        assert (made.status_code // 100, code) == (2, 0)
        assert again.key == one.key


@pytest.mark.skipif(shutil.which("curl") is None, reason="the README's examples need curl")
@pytest.mark.skipif(shutil.which("bash") is None, reason="the README's examples need bash")
def test_readme_examples_with_curl_do_what_they_say(tmp_path: Path) -> None:
    """Whoever pastes the README's commands gets what it promises."""
    blocks = [t.content for t in MarkdownIt().parse(README.read_text()) if t.info == "bash"]
    script = "\n".join(block for block in blocks if "curl" in block)

    with served(tmp_path) as one:
        script = script.replace("http://127.0.0.1:8080", one.url)
        script = script.replace("bb_sandbox_...", one.key).replace("curl -s", "curl -sS --fail")
        # A reader types slower than the customer's webhook comes.
        script = re.sub(r"(?m)^# See", "sleep 2\n# See", script)
        ran = subprocess.run(["bash", "-euc", script], capture_output=True, text=True)

        assert (ran.returncode, ran.stderr) == (0, "")
        assert '"authorized"' in ran.stdout
        assert '"trigger":"authorize"' in ran.stdout
        assert '"invoice.captured"' in ran.stdout
        assert '"secret":"whsec_' in ran.stdout


def _headers(one: Served) -> dict[str, str]:
    return {"Authorization": f"Bearer {one.key}"}


def _states(one: Served) -> dict[str, str]:
    answer = httpx.get(f"{one.url}/v1/invoices", headers=_headers(one)).json()
    return {invoice["reference"]: invoice["state"] for invoice in answer["items"]}


def _wait_for(is_so: Any, *, within_s: float = DEADLINE_S) -> None:
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        try:
            if is_so():
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError("it did not happen in time")
