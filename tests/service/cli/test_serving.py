"""`betalbar serve` as a process of its own: what it prints, serves, and leaves behind."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

import httpx
import pytest
from markdown_it import MarkdownIt

from tests.flows.processes import HTTP
from tests.written import WRITTEN

README = Path(__file__).parents[3] / "README.md"
START_WITHIN_S = 90.0
DEADLINE_S = 60.0


@dataclass(frozen=True, slots=True)
class Served:
    """One running service, and what it has printed."""

    process: subprocess.Popen[str]
    url: str
    key: str
    introduction: str


@contextmanager
def started(folder: Path, *words: str, **settings: str) -> Iterator[subprocess.Popen[str]]:
    """Run one command in `folder` until the block ends; what it logs is looked through later."""
    log = folder / f"{words[0]}.err"
    WRITTEN.watch(log, environment=_named(settings))
    with log.open("ab") as file, _running(folder, words, settings, stderr=file) as process:
        yield process


@contextmanager
def started_with_errors(
    folder: Path, *words: str, **settings: str
) -> Iterator[subprocess.Popen[str]]:
    """Run one command, and let its standard error be read."""
    with _running(folder, words, settings, stderr=subprocess.PIPE) as process:
        yield process


@contextmanager
def _running(
    folder: Path, words: Sequence[str], settings: Mapping[str, str], *, stderr: int | IO[bytes]
) -> Iterator[subprocess.Popen[str]]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("BETALBAR_")}
    named = _named(settings)
    process = subprocess.Popen(
        [sys.executable, "-m", "service.cli", *words],
        cwd=folder,
        env=kept | named | {"PYTHONPATH": str(README.parent)},
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        # A runner in the background ignores Ctrl-C, and hands that on.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.communicate(timeout=15)
        finally:
            process.kill()


def _named(settings: Mapping[str, str]) -> dict[str, str]:
    return {f"BETALBAR_{name.upper()}": value for name, value in settings.items()}


@contextmanager
def served(folder: Path, *words: str) -> Iterator[Served]:
    """Serve in `folder` on a free port, with the built-in sandbox."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    allow = "127.0.0.0/8"
    with started(folder, "serve", *words, port=str(port), subscriber_allow=allow) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(5)]
        wait_until_ready(url)
        yield Served(process, url, lines[2].split()[-1], "".join(lines))


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


def wait_until_ready(url: str) -> None:
    """Return once the service can do its work."""
    wait_for(lambda: HTTP.get(f"{url}/readyz").is_success, within_s=START_WITHIN_S)


def states_of(one: Served) -> dict[str, str]:
    """Return the state of each invoice by reference."""
    answer = HTTP.get(f"{one.url}/v1/invoices?limit=200", headers=_headers(one)).json()
    return {invoice["reference"]: invoice["state"] for invoice in answer["items"]}


def wait_for(is_so: Any, *, within_s: float = DEADLINE_S) -> None:
    """Return once it is so. Raises: AssertionError, when the time is up."""
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        try:
            if is_so():
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError("it did not happen in time")


def test_serve_prints_its_urls_and_a_key_that_works(tmp_path: Path) -> None:
    """A developer copies what is printed, and is in."""
    with served(tmp_path) as one:
        headers = {"Authorization": f"Bearer {one.key}"}
        answer = HTTP.get(f"{one.url}/v1/invoices", headers=headers)

        assert f"Betalbar is at {one.url}" in one.introduction
        assert f"{one.url}/phone" in one.introduction
        assert f"{one.url}/console (login demo, password" in one.introduction
        assert answer.json()["items"] == []
        assert "server" not in answer.headers


def test_serve_with_samples_has_invoices_in_several_states(tmp_path: Path) -> None:
    """`make run` has something to look at."""
    expected = {
        "sample-waiting": "pushed",
        "sample-authorized": "authorized",
        "sample-captured": "captured",
        "sample-rejected": "aborted",
        "sample-by-link": "created",
    }

    with served(tmp_path, "--samples") as one:
        wait_for(lambda: states_of(one) == expected)

        assert states_of(one) == expected


def test_serve_stopped_by_sigterm_ends_with_zero_and_nothing_lost(tmp_path: Path) -> None:
    """A deployment stops the old version in good order, within ten seconds."""
    with served(tmp_path) as one:
        body = {
            "amount": {"currency": "NOK", "value": 100},
            "customer": {"phoneNumber": "4791234567"},
            "reference": "before-the-stop",
        }
        made = HTTP.post(f"{one.url}/v1/invoices", json=body, headers=_headers(one))
        one.process.send_signal(signal.SIGTERM)
        code = one.process.wait(timeout=12)

    with served(tmp_path) as again:
        wait_for(lambda: states_of(again) == {"before-the-stop": "pushed"})

        assert (made.status_code // 100, code) == (2, 0)
        assert again.key == one.key


def test_serve_stopped_by_sigterm_ends_its_streams_in_good_order(tmp_path: Path) -> None:
    """A reader is not cut off in the middle: the stream ends, and is resumed with the next one."""
    with served(tmp_path) as one:
        address = f"{one.url}/v1/events/stream"
        with HTTP.stream("GET", address, headers=_headers(one), timeout=15) as stream:
            lines = stream.iter_lines()
            first = next(lines)
            one.process.send_signal(signal.SIGTERM)
            rest = list(lines)  # one that is cut off is an error here
        code = one.process.wait(timeout=12)

    assert (first, code) == ("retry: 2000", 0)
    assert not [line for line in rest if line.startswith("data:")]


def test_serve_with_two_processes_and_a_worker_on_postgresql(
    tmp_path: Path, empty_postgres_url: str
) -> None:
    """The parts of a larger installation find each other in the database alone."""
    vipps_port, port, probed_port = free_port(), free_port(), free_port()
    url, key = f"http://127.0.0.1:{port}", "a-key-for-this-test"
    probed_url = f"http://127.0.0.1:{probed_port}"
    settings = {
        "database_url": empty_postgres_url,
        "vipps_url": f"http://127.0.0.1:{vipps_port}",
        "port": str(port),
        "api_key": key,
    }
    body = {
        "reference": "two-processes",
        "amount": {"currency": "NOK", "value": 100},
        "customer": {"phoneNumber": "4791234567"},
    }
    one = Served(None, url, key, "")  # type: ignore[arg-type]  # several processes

    with (
        started(tmp_path, "sandbox", "--port", str(vipps_port)),
        _migrated(tmp_path, settings),
        started(tmp_path, "serve", "--processes", "2", "--no-worker", **settings) as serving,
        started(tmp_path, "worker", **settings) as worker,
        started(tmp_path, "worker", "--port", str(probed_port), **settings) as probed,
    ):
        wait_until_ready(url)
        wait_until_ready(probed_url)
        workers = HTTP.get(f"{probed_url}/readyz").json()["workers"]
        figures = HTTP.get(f"{probed_url}/metrics").text
        elsewhere = HTTP.get(f"{probed_url}/v1/invoices", headers=_headers(one)).status_code
        _run(tmp_path, "webhooks", "register", **settings)
        HTTP.post(f"{url}/v1/invoices", json=body, headers=_headers(one))
        wait_for(lambda: states_of(one) == {"two-processes": "pushed"})
        HTTP.post(f"{settings['vipps_url']}/sandbox/payments/two-processes/approve")
        wait_for(lambda: states_of(one) == {"two-processes": "authorized"})
        ended = []
        for process in (worker, probed, serving):
            process.send_signal(signal.SIGTERM)
            ended.append(process.wait(timeout=15))

    assert ended == [0, 0, 0]
    assert {"commands", "deliveries"} <= {
        name for name, is_running in workers.items() if is_running
    }
    assert "# TYPE betalbar_vipps_answers_total counter" in figures
    assert elsewhere == 404


@pytest.mark.skipif(shutil.which("curl") is None, reason="the README's examples need curl")
@pytest.mark.skipif(shutil.which("bash") is None, reason="the README's examples need bash")
def test_readme_examples_with_curl_do_what_they_say(tmp_path: Path) -> None:
    """Whoever pastes the README's commands gets what it promises."""
    blocks = [t.content for t in MarkdownIt().parse(README.read_text()) if t.info == "bash"]
    script = "\n".join(block for block in blocks if "curl" in block)

    with served(tmp_path) as one:
        script = script.replace("http://127.0.0.1:8080", one.url)
        script = script.replace("bb_sandbox_...", one.key).replace("curl -s", "curl -sS --fail")
        # A stream has no end of its own.
        script = re.sub(
            r"(?m)^(curl .*/v1/events/stream.*)$",
            r"\1 --max-time 2 2>/dev/null || test $? = 28",
            script,
        )
        # A reader types slower than the customer's webhook comes.
        script = re.sub(r"(?m)^# See", "sleep 2\n# See", script)
        ran = subprocess.run(["bash", "-euc", script], capture_output=True, text=True)

        assert (ran.returncode, ran.stderr) == (0, "")
        assert '"authorized"' in ran.stdout
        assert '"trigger":"authorize"' in ran.stdout
        assert '"invoice.captured"' in ran.stdout
        assert '"secret":"whsec_' in ran.stdout
        assert '"partition":0,"data":{"id":"evt_' in ran.stdout
        assert '"settledUntil"' in ran.stdout
        assert '\ndata: {"id":"evt_' in ran.stdout


@contextmanager
def _migrated(folder: Path, settings: dict[str, str]) -> Iterator[None]:
    _run(folder, "migrate", **settings)
    yield


def _run(folder: Path, *words: str, **settings: str) -> None:
    with started(folder, *words, **settings) as process:
        assert process.wait(timeout=DEADLINE_S) == 0


def _headers(one: Served) -> dict[str, str]:
    return {"Authorization": f"Bearer {one.key}"}
