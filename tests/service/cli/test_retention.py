"""What has been kept long enough is deleted by command."""

import json
from pathlib import Path

from tests.service.cli.conftest import Betalbar


def test_retention_says_what_it_deleted_of_each_kind(betalbar: Betalbar) -> None:
    """A script sees each kind, how long it is kept, and how much is gone."""
    ended = betalbar("retention", "--json")

    assert ended.code == 0
    assert json.loads(ended.out)["items"] == [
        {"what": "attempts of deliveries", "keptDays": 90, "deleted": 0},
        {"what": "answers to an Idempotency-Key", "keptDays": 30, "deleted": 0},
        {"what": "ended sessions", "keptDays": 0, "deleted": 0},
    ]


def test_retention_reads_its_archive(betalbar: Betalbar, tmp_path: Path) -> None:
    """What was let go of can be read again; half a line, of a full disk, is passed over."""
    file = tmp_path / "betalbar-2026-11-27-0f3a9c51.jsonl"
    file.write_bytes(b'{"kind":"delivery","id":"dlv_1","status":"delivered"}\n{"kind":"deli')

    ended = betalbar("retention", "--read", str(file))
    missing = betalbar("retention", "--read", f"{file}.not")

    assert (ended.code, json.loads(ended.out)["id"]) == (0, "dlv_1")
    assert (missing.code, missing.out) == (1, "")
    assert "no such file or directory" in missing.err


def test_retention_names_what_may_be_let_go_of_by_wish(betalbar: Betalbar, tmp_path: Path) -> None:
    """Only what I have set an age for is among it; too short an age is refused."""
    wish = {"ARCHIVE_FOLDER": str(tmp_path), "EVENTS_KEPT_DAYS": "400"}

    ended = betalbar("retention", "--json", **wish)
    refused = betalbar("retention", EVENTS_KEPT_DAYS="400")

    assert json.loads(ended.out)["items"][3:] == [
        {"what": "events of the feed", "keptDays": 400, "deleted": 0}
    ]
    assert refused.code != 0
    assert "BETALBAR_EVENTS_KEPT_DAYS must be at least 2922" in refused.err
