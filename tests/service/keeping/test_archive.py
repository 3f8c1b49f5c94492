"""What is deleted is in the archive before, and nobody reads it there who could not before."""

import base64
import errno
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from service.audit.archived import read_archive
from service.clockwork.cleaning import Cleaner
from service.keeping.archive import ArchiveAway, FolderArchive
from service.keeping.kinds import what_is_kept
from service.store.db import Database
from service.store.tables import Attempt, Delivery, Event, StoredVippsEvent
from tests.builders import ONLY_SQLITE, PHONE
from tests.service.keeping.builders import (
    a_keeping_desk,
    a_paid_invoice,
    archived,
    deliver,
    fan_out_all,
    retain,
    subscribe,
)

pytestmark = ONLY_SQLITE


class _Killed(Exception):
    """The process is gone."""


class _DiesAfter:
    """An archive whose process is killed once it has written of this kind."""

    def __init__(self, archive: FolderArchive, kind: str) -> None:
        """Take the real one."""
        self._archive = archive
        self._kind = kind

    def keep(self, kind: str, rows: Sequence[sa.Row[Any]]) -> None:
        """Write, and then die."""
        self._archive.keep(kind, rows)
        if kind == self._kind:
            raise _Killed


def test_killed_between_writing_and_deleting_loses_nothing(
    database: Database, tmp_path: Path
) -> None:
    """The rows are still there, and are written once more by whoever comes next."""
    desk = a_keeping_desk(database, tmp_path)
    subscribe(desk)
    a_paid_invoice(desk, "acme-2026-000001")
    count = deliver(desk)
    desk.later(days=91)
    kinds = {kept.name: kept for kept in what_is_kept(desk.context)}

    def killed_after(name: str, kind: str) -> tuple[int, int, int]:
        dying = _DiesAfter(FolderArchive(tmp_path, desk.context.clock), kind)
        with pytest.raises(_Killed):
            kinds[name].forget(desk.context, dying, kinds[name].kept_for)
        return len(desk.all(Delivery)), len(desk.all(Attempt)), len(desk.all(Event))

    assert killed_after("ended deliveries", "delivery") == (count, count, count)
    assert killed_after("bodies of Vipps's events", "vipps_event") == (count, count, count)
    assert all(row.raw for row in desk.all(StoredVippsEvent))
    assert killed_after("events of the feed", "delivery") == (count, count, count)
    # An event's deliveries go before it, by themselves.
    assert killed_after("events of the feed", "event") == (0, 0, count)
    assert retain(desk)["events of the feed"] == count == 4

    for kind, times in (("attempt", 3), ("delivery", 3), ("vipps_event", 2), ("event", 2)):
        ids = [row["id"] for row in archived(tmp_path, kind)]
        assert set(map(ids.count, ids)) == {times}
        assert len(set(ids)) == (3 if kind == "vipps_event" else 4)


def test_archive_is_its_owners_alone_and_as_sealed_as_the_database(
    database: Database, tmp_path: Path
) -> None:
    """A thief of the archive reads nothing in it; the keys of the database open it."""
    desk = a_keeping_desk(database, tmp_path / "archive")
    a_paid_invoice(desk, "acme-2026-000001")
    fan_out_all(desk)
    raw = {row.id: row.raw for row in desk.all(StoredVippsEvent)}
    desk.later(days=91)
    umask = os.umask(0)
    try:
        retain(desk)
    finally:
        os.umask(umask)

    (file,) = (tmp_path / "archive").iterdir()
    rows = archived(tmp_path / "archive", "vipps_event")

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert {row["id"]: base64.b64decode(row["raw"]) for row in rows} == raw
    assert PHONE.encode() not in file.read_bytes()
    with desk.context.database.snapshot() as session:
        vault, lines = desk.context.vault, [*file.read_bytes().splitlines(), b'{"kind":"ev']
        read = list(read_archive(session, vault, lines))
    opened = [row["raw"]["name"] for row in read if row["kind"] == "vipps_event"]
    assert opened == ["CREATED", "AUTHORIZED", "CAPTURED"]
    told = [row["payload"]["sequence"] for row in read if row["kind"] == "event"]
    assert told == [1, 2, 3, 4]


def test_nothing_is_deleted_while_the_archive_can_not_be_written(
    database: Database, tmp_path: Path
) -> None:
    """A full disk, or a folder that is none, costs no row; the rest goes on."""
    (tmp_path / "archive").write_text("a file")
    desk = a_keeping_desk(database, tmp_path / "archive")
    subscribe(desk)
    a_paid_invoice(desk, "acme-2026-000001")
    count = deliver(desk)
    desk.later(days=91)

    has_more = Cleaner(desk.context).clean()
    with pytest.raises(ArchiveAway, match="exists"):
        retain(desk)

    assert not has_more
    assert len(desk.all(Delivery)) == len(desk.all(Event)) == count
    assert all(row.raw for row in desk.all(StoredVippsEvent))


def test_line_after_one_that_failed_goes_into_another_file(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a full disk may have cut in half spoils no line that comes after it."""
    desk = a_keeping_desk(database, tmp_path)
    archive = FolderArchive(tmp_path, desk.context.clock)
    with desk.context.database.snapshot() as session:
        rows = session.execute(sa.select(sa.literal("evt_1").label("id"))).all()

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(ArchiveAway, match="no space left"):
            archive.keep("event", rows)
    archive.keep("event", rows)
    archive.keep("event", rows)

    assert len(list(tmp_path.glob("*.jsonl"))) == 2
    assert [row["id"] for row in archived(tmp_path, "event")] == ["evt_1"] * 3
