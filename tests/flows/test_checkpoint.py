"""Killed while SQLite copies its log into the database: K15 (F6)."""

import shutil
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

from tests.flows.checks import lost_webhooks, open_books
from tests.flows.kills import judge, rest
from tests.flows.load import Load
from tests.flows.processes import eventually
from tests.flows.stack import Stack, running
from tests.flows.traced import traced

# As many pages as the service lets the log have before it copies them, and some more.
_LOG_BYTES = 17_000 * 4096
# In the database's own file only a copy writes: at its start, in its midst, and at its end.
_DEATHS = ("pwrite64:signal=KILL:when=1", "pwrite64:signal=KILL:when=8000", "fdatasync:signal=KILL")


def test_k15_killed_at_a_checkpoint_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """What was answered is in the log until the database has it all, wherever the process dies."""
    file = tmp_path / "betalbar.db"
    with running(tmp_path, f"sqlite:///{file}") as stack:
        shop, load = stack.subscribe(), Load(stack.api, stack.phone, seed=6)
        with load.at_work():
            for number, death in enumerate(_DEATHS):
                load.wait_for_more(3)
                die_copying(stack, file, death)
                assert wrong_on_disk(stack, load, tmp_path / f"copy{number}.db") == []
                stack.service[0].start()
                stack.service[0].wait_ready("/readyz")

        wrong = rest(stack) + load.failures + judge(stack, load, shop)

        assert not wrong, wrong[:20]
        assert b"Traceback" not in stack.output()


def die_copying(stack: Stack, file: Path, death: str) -> None:
    """Fill the log, so that the next commit is followed by a copy, and have that one be its end."""
    service = stack.service[0]
    assert service.process is not None
    watched = ("trace=pwrite64,fdatasync", f"inject={death}")
    with traced(service.process.pid, *watched, file=file):
        with closing(sqlite3.connect(file, isolation_level=None, timeout=60)) as filling:
            filling.execute("PRAGMA wal_autocheckpoint = 0")
            filling.execute("CREATE TABLE filling (bytes BLOB)")
            filling.execute("INSERT INTO filling VALUES (zeroblob(?))", [_LOG_BYTES])
            filling.execute("DROP TABLE filling")
        eventually(lambda: not service.is_alive(), what="killed")
    assert service.process.poll() == -signal.SIGKILL


def wrong_on_disk(stack: Stack, load: Load, copy: Path) -> list[str]:
    """Return what a copy of the files lacks, as the dead process has left them."""
    acknowledged, invoices = list(stack.front.acknowledged), list(load.invoices)
    file = stack.database_url.removeprefix("sqlite:///")
    for end in ("", "-wal"):
        shutil.copy(f"{file}{end}", f"{copy}{end}")
    with open_books(f"sqlite:///{copy}") as books:
        (checked,) = books.rows("PRAGMA integrity_check")
        stored = {row["reference"] for row in books.rows("SELECT reference FROM invoice")}
        return [
            *(text for text in checked.values() if text != "ok"),
            *(f"{name} is lost" for name in invoices if name not in stored),
            *lost_webhooks(books, acknowledged),
        ]
