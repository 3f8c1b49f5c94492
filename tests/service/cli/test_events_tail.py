"""`betalbar events tail` beside a running service: what comes, from where one says, and whereto."""

import json
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from tests.flows.processes import HTTP
from tests.service.cli.conftest import Betalbar
from tests.service.cli.test_serving import (
    Served,
    free_port,
    served,
    started,
    started_with_errors,
    wait_for,
)

INVOICE = {
    "reference": "seen-by-tail",
    "amount": {"currency": "NOK", "value": 100},
    "customer": {"phoneNumber": "4791234567"},
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, Path]]:
    """Serve once, with one invoice that was sent."""
    folder = tmp_path_factory.mktemp("served")
    with served(folder) as one:
        HTTP.post(f"{one.url}/v1/invoices?wait=10", json=INVOICE, headers=_headers(one))
        yield one, folder


def test_tail_prints_what_comes_goes_on_by_cursor_and_ends_with_zero(
    service: tuple[Served, Path],
) -> None:
    """I watch, stop with Ctrl-C, and go on later where I was."""
    one, folder = service
    (first,) = _tail(folder, one, "--cursor", "_first")
    (second,) = _tail(folder, one, "--cursor", first["cursor"], "--types", "invoice.*")

    assert [first["event"], second["event"]] == _feed(one)[:2]


@pytest.mark.parametrize("is_elsewhere", [False, True])
def test_tail_forwards_to_a_receiver_that_starts_later_signed_as_to_a_subscriber(
    service: tuple[Served, Path], is_elsewhere: bool
) -> None:
    """My receiver verifies with an official library, in the same bytes, before it is public."""
    one, folder = service
    port = free_port()
    words = ["--cursor", "_first", "--forward", f"http://127.0.0.1:{port}/webhooks"]
    settings = {"port": one.url.rpartition(":")[2]}
    if is_elsewhere:
        words += ["--at", one.url]
        settings = {"api_key": one.key, "database_url": "sqlite:////nowhere/at-all.db"}
    words = ["events", "tail", "--json", *words]
    with started_with_errors(folder, *words, **settings) as process:
        assert process.stderr is not None
        assert process.stdout is not None
        secret = process.stderr.readline().split()[-1]
        assert "Nothing listens" in process.stderr.readline()
        with _receiver(port) as got:
            wait_for(lambda: len(got) >= 2)
        lines = [json.loads(process.stdout.readline()) for _ in range(2)]

    events = [Webhook(secret).verify(body, headers) for headers, body in got[:2]]
    assert events == [line["event"] for line in lines] == _feed(one)[:2]
    assert [line["answer"] for line in lines] == ["204", "204"]


def test_tail_with_what_cannot_be_names_it(betalbar: Betalbar) -> None:
    """A misspelt type would never come, and a place that is none would lead nowhere."""
    wrong_type = betalbar("events", "tail", "--types", "invoice.payed")
    wrong_cursor = betalbar("events", "tail", "--cursor", "17")
    wrong_target = betalbar("events", "tail", "--forward", "localhost:3000")
    nowhere = ("events", "tail", "--at", f"http://127.0.0.1:{free_port()}")

    assert (wrong_type.code, wrong_cursor.code, wrong_target.code) == (1, 1, 1)
    assert "--types" in wrong_type.err
    assert "--cursor" in wrong_cursor.err
    assert "--forward" in wrong_target.err
    assert (betalbar(*nowhere).code, betalbar(*nowhere, api_key="k").code) == (2, 1)


def test_tail_with_a_key_of_nobody_says_so(
    service: tuple[Served, Path], betalbar: Betalbar
) -> None:
    """A wrong key is not a service that is away."""
    ended = betalbar("events", "tail", "--at", service[0].url, api_key="bb_nobody")

    assert (ended.code, "BETALBAR_API_KEY" in ended.err) == (1, True)


def _feed(one: Served) -> list[Any]:
    page: list[Any] = HTTP.get(f"{one.url}/v1/events", headers=_headers(one)).json()["items"]
    return page


def _headers(one: Served) -> dict[str, str]:
    return {"Authorization": f"Bearer {one.key}"}


def _tail(folder: Path, one: Served, *words: str) -> list[dict[str, Any]]:
    """Return the first line of a tail, which then ends well by Ctrl-C."""
    port = one.url.rpartition(":")[2]
    with started(folder, "events", "tail", "--json", *words, port=port) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=15) == 0
    return [json.loads(line)]


@contextmanager
def _receiver(port: int) -> Iterator[list[tuple[dict[str, str], bytes]]]:
    """Listen there, and record what comes."""
    got: list[tuple[dict[str, str], bytes]] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            got.append((dict(self.headers), body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", port), Receiver) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield got
        finally:
            server.shutdown()
            thread.join()
