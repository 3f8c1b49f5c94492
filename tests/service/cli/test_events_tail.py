"""`betalbar events tail` beside a running service: what comes, from where one says."""

import json
import signal
from pathlib import Path
from typing import Any

import httpx

from tests.service.cli.conftest import Betalbar
from tests.service.cli.test_serving import Served, served, started

INVOICE = {
    "reference": "seen-by-tail",
    "amount": {"currency": "NOK", "value": 100},
    "customer": {"phoneNumber": "4791234567"},
}


def test_tail_prints_what_comes_goes_on_by_cursor_and_ends_with_zero(tmp_path: Path) -> None:
    """I watch, stop with Ctrl-C, and go on later where I was."""
    with served(tmp_path) as one:
        headers = {"Authorization": f"Bearer {one.key}"}
        httpx.post(f"{one.url}/v1/invoices?wait=10", json=INVOICE, headers=headers)
        first = _tail(tmp_path, one, "--cursor", "_first")
        second = _tail(tmp_path, one, "--cursor", first["cursor"], "--types", "invoice.*")
        page = httpx.get(f"{one.url}/v1/events", headers=headers).json()

    assert [first["event"], second["event"]] == page["items"][:2]


def test_tail_with_what_cannot_be_names_it(betalbar: Betalbar) -> None:
    """A misspelt type would never come."""
    wrong_type = betalbar("events", "tail", "--types", "invoice.payed")
    wrong_cursor = betalbar("events", "tail", "--cursor", "17")

    assert (wrong_type.code, wrong_cursor.code) == (1, 1)
    assert "--types" in wrong_type.err
    assert "--cursor" in wrong_cursor.err


def _tail(folder: Path, one: Served, *words: str) -> dict[str, Any]:
    """Return the first line of a tail, which then ends well by Ctrl-C."""
    port = one.url.rpartition(":")[2]
    with started(folder, "events", "tail", "--json", *words, port=port) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=15) == 0
    found: dict[str, Any] = json.loads(line)
    return found
