"""`betalbar backup` and `restore`: what is copied, what is refused, what Vipps knows since."""

import json
import sqlite3
import stat
from pathlib import Path

import pytest

from tests.service.cli.conftest import Betalbar


@pytest.fixture
def copied(betalbar: Betalbar, tmp_path: Path) -> Path:
    """Make a database with one invoice, and a backup of it."""
    betalbar("invoices", "send", "100", "--reference", "in-the-backup", "--to", "4791234567")
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
    doctor = json.loads(betalbar("doctor", "--json").out)["findings"]
    again = json.loads(betalbar("recover", "--json").out)["items"]
    reconciled = betalbar("reconcile")
    given_up = betalbar("recover", "--without-vipps")
    listed = json.loads(betalbar("invoices", "list", "--json").out)["items"]

    assert (ended.code, stat.S_IMODE(copied.stat().st_mode)) == (0, 0o600)
    assert [invoice["reference"] for invoice in listed] == ["in-the-backup"]
    assert json.loads(ended.out)["leftToRead"] == 2  # the payment, and whether there is another
    assert [one["is_well"] for one in doctor if "left to read: 2" in one["detail"]] == [False]
    assert [one["leftToRead"] for one in again] == [2]
    assert (reconciled.code, "restored from a backup" in reconciled.err) == (1, True)
    assert "was not read" in given_up.out
    assert "Nothing is recovering" in betalbar("recover", "--without-vipps").out
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


def _move_away(database: Path) -> None:
    for ending in ("", "-wal", "-shm"):
        file = database.with_name(database.name + ending)
        if file.exists():
            file.rename(file.with_name(f"old{ending}"))
