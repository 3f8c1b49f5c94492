"""The drill: a backup is restored that is older than what happened since (F23, T48).

What leaves the service is seen from outside: each call to Vipps passes a turnstile, and what the
merchant gets is in their mail.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.flows import checks, effects
from tests.flows.client import a_name
from tests.flows.conftest import empty_database
from tests.flows.postgres_tools import run_tool
from tests.flows.processes import HTTP, Served, eventually
from tests.flows.stack import API_KEY, Shop, Stack, running
from tests.flows.turnstile import Turnstile, nothing

_HEADERS = {"Authorization": f"Bearer {API_KEY}"}


@dataclass
class Drill:
    """A running service, and what is seen of it from outside."""

    stack: Stack
    turnstile: Turnstile
    server_url: str

    @property
    def is_sqlite(self) -> bool:
        """Tell which kind of database is restored."""
        return not self.server_url

    @contextmanager
    def restored(self, backup: Path) -> Iterator[None]:
        """Put the backup into place of what is there, as an operator would; nothing runs yet."""
        self.kill()
        if self.is_sqlite:
            for file in self.stack.folder.glob("betalbar.db*"):
                file.rename(file.with_name(f"old-{file.name}"))
            self.stack.run("restore", backup.name)
            yield
            return
        with empty_database(self.server_url) as url:
            run_tool("pg_restore", "--no-owner", "--dbname", url, str(backup))
            self.stack.database_url = self.stack.environment["BETALBAR_DATABASE_URL"] = url
            for child in self.stack.service:
                child.environment = {**child.environment, "BETALBAR_DATABASE_URL": url}
            self.stack.run("migrate")  # and no more: a dump that was read in is known as such
            yield
            self.stack.close()

    def backup(self) -> Path:
        """Make a backup, as an operator would, while the service runs."""
        file = self.stack.folder / "the-backup"
        if self.is_sqlite:
            self.stack.run("backup", file.name)
        else:
            run_tool("pg_dump", "--format=custom", "--file", str(file), self.stack.database_url)
        return file

    def kill(self) -> None:
        """Kill every process; on PostgreSQL their leases end now instead of in a minute."""
        for child in self.stack.service:
            child.kill()
        if not self.is_sqlite:
            with psycopg.connect(self.stack.database_url) as connection:
                connection.execute("UPDATE command SET next_attempt_at = now()")

    def start(self) -> None:
        """Start every process, and return once it is ready."""
        for child in self.stack.service:
            child.start()
        for child in self.stack.service:
            child.wait_ready("/readyz")

    def lost(self) -> str:
        """Return what `betalbar doctor` says of invoices that were lost; empty: nothing."""
        child = self.stack.betalbar("doctor", "--json")
        child.name = a_name("doctor")  # each run's output is its own
        child.start()
        assert child.process is not None
        child.process.wait(120)
        findings = json.loads(child.stdout.read_text())["findings"]
        return "".join(one["detail"] for one in findings if one["check"].startswith("lost"))

    def left_to_read(self) -> list[int]:
        """Return how much each recovering sales unit has still to read."""
        told = HTTP.get(f"{self.stack.service[0].url}/readyz").json()["recovering"]
        return [one["leftToRead"] for one in told]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def drill(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Drill]:
    """Run a service whose calls to Vipps pass a turnstile."""
    folder = tmp_path_factory.mktemp(f"drill-{request.param}")
    turnstile = Turnstile()
    served = Served(turnstile)
    served.start()
    vipps_url = served.url
    try:
        if request.param == "sqlite":
            database_url = f"sqlite:///{folder / 'betalbar.db'}"
            with running(folder, database_url, BETALBAR_VIPPS_URL=vipps_url) as stack:
                turnstile.upstream = stack.sandbox.url
                yield Drill(stack, turnstile, "")
            return
        server_url = request.getfixturevalue("postgres_url")
        with (
            empty_database(server_url) as url,
            running(folder, url, processes=2, BETALBAR_VIPPS_URL=vipps_url) as stack,
        ):
            turnstile.upstream = stack.sandbox.url
            yield Drill(stack, turnstile, server_url)
    finally:
        served.stop()


def test_restored_service_sends_nothing_until_it_knows_what_vipps_did_since(drill: Drill) -> None:
    """A backup of an hour ago charges nobody again, forgets nobody's money, and tells the truth.

    Killed in the middle of it, it goes on."""
    stack, turnstile, api = drill.stack, drill.turnstile, drill.stack.api
    shop = stack.subscribe()
    paid, taken, kept, again = (a_name(word) for word in ("paid", "taken", "kept", "again"))
    for name in (paid, taken, kept, again):
        api.create(name, wait_s=30)
    stack.phone.approve(taken)
    api.reaches(taken, "authorized")
    eventually(lambda: "invoice.authorized" in shop.told(taken), what="told")

    # Decided before the backup and done after it.
    turnstile.is_stopped = lambda method, path: path.endswith("/capture")
    api.act(taken, "capture", _nok(5_000))
    eventually(lambda: any(path.endswith("/capture") for _, path in turnstile.asked), what="tried")
    backup = drill.backup()
    turnstile.is_stopped = nothing
    api.reaches(taken, "captured")
    api.act(taken, "refund", _nok(2_000), wait_s=30)
    stack.phone.approve(paid)
    api.reaches(paid, "authorized")
    assert api.act(again, "push", wait_s=30).status_code == 200
    second = f"{again}-2"  # a payment that the backup can't know, in place of one that it does
    lost = a_name("lost")  # an invoice that it can't know
    api.create(lost, wait_s=30)
    before = _effects(stack, taken)

    with drill.restored(backup):
        asked, told = len(turnstile.asked), len(shop.app.received)
        turnstile.is_stopped = lambda _, path: kept in path
        drill.start()
        eventually(lambda: drill.left_to_read() == [2], what="all read but one")
        refused = _capture_at_once(stack, paid)
        stack.phone.approve(kept)
        stack.phone.approve(lost)
        api.reaches(kept, "authorized")
        drill.kill()
        drill.start()
        eventually(lambda: any(kept in path for _, path in turnstile.asked[asked:]), what="asked")

        assert drill.left_to_read() == [2]
        assert (refused["code"], api.invoice(paid)["state"]) == ("recovering", "authorized")
        assert [call for call in turnstile.asked[asked:] if not _is_read(call)] == []
        assert shop.app.received[told:] == []

        turnstile.is_stopped = nothing
        eventually(lambda: drill.left_to_read() == [], what="recovered")
        eventually(lambda: "invoice.captured" in shop.told(taken), what="told of it")
        assert api.act(paid, "capture", wait_s=30).status_code == 200
        assert [one["reference"] for one in api.invoice(again)["payments"]] == [again, second]
        stack.phone.approve(second)
        api.reaches(again, "authorized")
        eventually(lambda: not stack.unheard(lost), what="kept")
        assert f"{lost} (AUTHORIZED)" in drill.lost()
        api.create(lost)  # as it was posted the first time
        api.reaches(lost, "authorized")
        assert (drill.lost(), _effects(stack, lost)) == ("", ["created", "authorized"])
        assert f"{lost}-2" not in stack.phone.payments()
        eventually(lambda: _are_settled(stack), what="nothing under way")

        _assert_nothing_was_lost_or_doubled(stack, shop, taken, before)


def _assert_nothing_was_lost_or_doubled(
    stack: Stack, shop: Shop, taken: str, before: list[str]
) -> None:
    assert _effects(stack, taken) == before == ["created", "authorized", "captured", "refunded"]
    with checks.open_books(stack.database_url) as books:
        assert checks.wrong_histories(books) == []
        assert effects.diverged(books, stack.phone.payments()) == []
    assert stack.api.invoice(taken)["aggregate"]["refundedAmount"]["value"] == 2_000
    assert all(received.is_verified for received in shop.app.received)


def _effects(stack: Stack, reference: str) -> list[str]:
    return [effect["effect"] for effect in stack.phone.effects(reference)]


def _nok(value: int) -> dict[str, Any]:
    return {"amount": {"currency": "NOK", "value": value}}


def _is_read(call: tuple[str, str]) -> bool:
    """Tell whether a call changes nothing at Vipps; a token is asked for by POST."""
    return call[0] == "GET" or call == ("POST", "/accesstoken/get")


def _capture_at_once(stack: Stack, reference: str) -> dict[str, Any]:
    """Ask for a capture once, whatever is said; return the answer."""
    url = f"{stack.service[0].url}/v1/invoices/{reference}/capture"
    answer = HTTP.post(url, headers=_HEADERS, json={})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "30")
    said: dict[str, Any] = answer.json()
    return said


def _are_settled(stack: Stack) -> bool:
    """Tell whether every act that was decided has come to its end."""
    is_open = "SELECT id FROM command WHERE status IN ('waiting', 'running') AND kind = 'capture'"
    with checks.open_books(stack.database_url) as books:
        return not books.rows(is_open)
