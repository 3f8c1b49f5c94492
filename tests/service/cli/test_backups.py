"""`betalbar backup` and `restore`: what is copied, what is refused, what Vipps knows since."""

import json
import sqlite3
import stat
from pathlib import Path

import httpx
import pytest

from tests.service.cli.conftest import Betalbar
from tests.service.cli.test_serving import (
    Served,
    free_port,
    started,
    states_of,
    wait_for,
    wait_until_ready,
)

KEY = "a-key-for-this-test"


@pytest.fixture
def copied(betalbar: Betalbar, tmp_path: Path) -> Path:
    """Make a database with one invoice, and a backup of it."""
    betalbar("invoices", "send", "100", "--reference", "in-the-backup")
    file = tmp_path / "copy.db"
    assert betalbar("backup", str(file)).code == 0
    return file


def test_backup_is_one_private_file_that_restores_what_was_there(
    betalbar: Betalbar, copied: Path
) -> None:
    """What came after the copy is gone, what was in it is there, whole."""
    betalbar("invoices", "send", "100", "--reference", "after-the-backup")
    _move_away(copied.with_name("cli.db"))
    ended = betalbar("restore", str(copied), "--json")
    listed = json.loads(betalbar("invoices", "list", "--json").out)["items"]

    assert (ended.code, stat.S_IMODE(copied.stat().st_mode)) == (0, 0o600)
    assert [invoice["reference"] for invoice in listed] == ["in-the-backup"]
    assert betalbar("audit", "verify").code == 0
    assert not list(copied.parent.glob("*.draft*"))


def test_backup_and_restore_write_over_nothing(betalbar: Betalbar, copied: Path) -> None:
    """A slip costs neither the last backup nor the database; an old log is not taken over."""
    before = copied.read_bytes()
    again, onto = betalbar("backup", str(copied)), betalbar("restore", str(copied))
    _move_away(copied.with_name("cli.db"))
    copied.with_name("cli.db-wal").write_bytes(b"of the old one")
    beside_a_log = betalbar("restore", str(copied))

    assert (again.code, onto.code, beside_a_log.code) == (1, 1, 1)
    assert "is not written over" in again.err
    assert "cli.db-wal is there already" in beside_a_log.err
    assert copied.read_bytes() == before
    assert not copied.with_name("cli.db").exists()


def test_restore_refuses_what_it_can_not_trust(betalbar: Betalbar, copied: Path) -> None:
    """A file that is none, one that somebody edited, and one without its keys change nothing."""
    target = copied.with_name("cli.db")
    _move_away(target)
    nonsense = copied.with_name("nonsense.db")
    nonsense.write_bytes(b"no database" * 1000)
    edited = copied.with_name("edited.db")
    edited.write_bytes(copied.read_bytes())
    with sqlite3.connect(edited) as connection:
        connection.execute("UPDATE transition SET amount_minor = 1")
    other_keys = {"master_keys": f"{'A' * 43}="}

    ended = [betalbar("restore", str(file)) for file in (nonsense, edited, target)]
    ended.append(betalbar("restore", str(copied), **other_keys))
    copied.with_name("cli.db.keys").rename(copied.with_name("kept.keys"))
    ended.append(betalbar("restore", str(copied)))

    assert [one.code for one in ended] == [1] * 5
    assert "not a database" in ended[0].err
    assert "in-the-backup" in ended[1].err
    assert "keys are missing" in ended[4].err
    assert not target.exists()
    assert not list(copied.parent.glob("*.draft*"))


def test_backup_of_postgresql_names_the_tool(betalbar: Betalbar) -> None:
    """Whoever uses PostgreSQL is led to what it has."""
    ended = betalbar("backup", "copy.db", database_url="postgresql://nobody@127.0.0.1:9/none")

    assert (ended.code, "pg_dump" in ended.err) == (1, True)


def test_restore_knows_what_vipps_did_since_before_anything_is_sent(tmp_path: Path) -> None:
    """A backup from before the payment is brought to where the money is, and never below it."""
    port, vipps_port = str(free_port()), str(free_port())
    vipps_url = f"http://127.0.0.1:{vipps_port}"
    settings = {"port": port, "vipps_url": vipps_url, "api_key": KEY}
    one = Served(None, f"http://127.0.0.1:{port}", KEY, "")  # type: ignore[arg-type]  # no process
    body = {"reference": "paid-since", "amount": {"currency": "NOK", "value": 100}}
    headers = {"Authorization": f"Bearer {KEY}"}
    with started(tmp_path, "sandbox", "--port", vipps_port):
        with started(tmp_path, "serve", **settings):
            wait_until_ready(one.url)
            customer = {"customer": {"phoneNumber": "4791234567"}}
            asked = f"{one.url}/v1/invoices?wait=30"
            httpx.post(asked, json=body | customer, headers=headers, timeout=40)
            backup = _said(tmp_path, "backup", "copy.db", **settings)
            httpx.post(f"{vipps_url}/sandbox/payments/paid-since/approve").raise_for_status()
        _move_away(tmp_path / "betalbar.db")
        restored = _said(tmp_path, "restore", "copy.db", "--json", **settings)
        listed = _said(tmp_path, "invoices", "list", "--json", **settings)

        with started(tmp_path, "serve", **settings):
            wait_for(lambda: states_of(one) == {"paid-since": "authorized"})
        effects = httpx.get(f"{vipps_url}/sandbox/effects").json()["items"]

    assert "is sound" in backup
    assert json.loads(restored) == {"database": "betalbar.db", "read": 1, "healed": 1}
    assert json.loads(listed)["items"][0]["state"] == "authorized"
    assert [effect["effect"] for effect in effects] == ["created", "authorized"]


def _said(folder: Path, *words: str, **settings: str) -> str:
    with started(folder, *words, **settings) as process:
        said, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    return said


def _move_away(database: Path) -> None:
    for ending in ("", "-wal", "-shm"):
        file = database.with_name(database.name + ending)
        if file.exists():
            file.rename(file.with_name(f"old{ending}"))
