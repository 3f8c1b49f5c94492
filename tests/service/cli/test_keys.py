"""API keys by command."""

import json
from pathlib import Path

from tests.service.cli.conftest import Betalbar


def test_key_created_is_shown_once_and_listed_without_its_text(betalbar: Betalbar) -> None:
    """What is stored of a key can't be used by whoever reads it."""
    made = json.loads(betalbar("keys", "create", "ERP", "--json").out)

    listed = betalbar("keys", "list", "--json")

    named = {row["name"]: row for row in json.loads(listed.out)["items"]}
    assert made["key"].startswith("bb_")
    assert named["ERP"] == {
        "id": made["id"],
        "msn": "123456",
        "name": "ERP",
        "scopes": ["read", "write", "money"],
        "createdAt": named["ERP"]["createdAt"],
        "expiresAt": None,
        "lastUsedAt": None,
        "revokedAt": None,
    }
    assert made["key"] not in listed.out


def test_key_created_on_a_terminal_stands_alone_on_the_first_line(betalbar: Betalbar) -> None:
    """A person can copy it, a shell can take the first line."""
    ended = betalbar("keys", "create", "by hand")

    assert ended.code == 0
    assert ended.out.splitlines()[0].startswith("bb_")
    assert "not shown again" in ended.out


def test_key_with_scopes_and_a_last_day_is_rotated_into_the_same(betalbar: Betalbar) -> None:
    """A narrow key stays narrow, and its successor is shown once."""
    words = ("--scope", "money", "--scope", "read", "--expires", "2099-12-31", "--json")
    made = json.loads(betalbar("keys", "create", "clerk", *words).out)

    rotated = json.loads(
        betalbar("keys", "rotate", made["id"], "--overlap-hours", "2", "--json").out
    )

    rows = {row["id"]: row for row in json.loads(betalbar("keys", "list", "--json").out)["items"]}
    old, new = rows[made["id"]], rows[rotated["id"]]
    assert (new["scopes"], new["name"]) == (["read", "money"], "clerk")
    assert new["expiresAt"].startswith("2099-12-31T00:00:00")
    assert old["expiresAt"] < new["expiresAt"]
    assert rotated["key"].startswith(f"bb_{new['id']}_")
    assert betalbar("keys", "create", "x", "--scope", "all").code == 2


def test_key_revoked_twice_keeps_its_first_date(betalbar: Betalbar) -> None:
    """Revoking is safe to repeat."""
    made = json.loads(betalbar("keys", "create", "old", "--json").out)

    first = betalbar("keys", "revoke", made["id"], "--json")
    again = betalbar("keys", "revoke", made["id"], "--json")

    assert json.loads(first.out)["revokedAt"] is not None
    assert json.loads(first.out)["revokedAt"] == json.loads(again.out)["revokedAt"]
    assert betalbar("keys", "revoke", made["id"]).out == f"{made['id']} is revoked.\n"


def test_key_revoke_of_an_unknown_id_is_refused(betalbar: Betalbar) -> None:
    """A slip of the hand is said, not passed over."""
    ended = betalbar("keys", "revoke", "key_nowhere")

    assert (ended.code, ended.out) == (1, "")
    assert ended.err == "betalbar: there is no such key\n"


def test_key_for_an_unknown_sales_unit_is_refused(betalbar: Betalbar) -> None:
    """A key belongs to a sales unit that exists."""
    ended = betalbar("keys", "create", "ERP", "--msn", "999999")

    assert (ended.code, ended.err) == (1, "betalbar: there is no sales unit 999999\n")


def test_keys_listed_as_a_table_show_every_id_whole(betalbar: Betalbar, tmp_path: Path) -> None:
    """An id that is cut in half can't be pasted into `keys revoke`."""
    made = json.loads(betalbar("keys", "create", "ERP [prod]", "--json").out)

    ended = betalbar("keys", "list")

    assert made["id"] in ended.out
    assert "ERP [prod]" in ended.out
    assert betalbar("keys", "list", "--msn", "999999").out.startswith("There is no API key")


def test_rotate_master_says_how_many_keys_it_wrapped(betalbar: Betalbar) -> None:
    """Beside one master key there is nothing to do, and that is said."""
    ended = betalbar("keys", "rotate-master", "--json")

    assert ended.code == 0
    assert json.loads(ended.out) == {"rewrapped": 0, "masterKeys": 1}
