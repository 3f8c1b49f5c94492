"""Sales units by command."""

import io
import json
import sys
from pathlib import Path

import pytest

from tests.service.cli.conftest import Betalbar

SECRET = "n0t-for-the-terminal"

UNIT = {
    "msn": "654321",
    "name": "Second shop",
    "organisationNumber": "999999999",
    "contactUrl": "https://shop.example/help",
    "termsOfSaleUrl": "https://shop.example/terms",
    "privacyPolicyUrl": "https://shop.example/privacy",
    "currency": "DKK",
    "vippsKeys": {"clientId": "id", "clientSecret": SECRET, "subscriptionKey": "sub"},
}


def _file(tmp_path: Path, **changes: object) -> str:
    file = tmp_path / "unit.json"
    file.write_text(json.dumps(UNIT | changes))
    return str(file)


def test_sales_unit_added_is_listed_with_its_keys_sealed(
    betalbar: Betalbar, tmp_path: Path
) -> None:
    """Each merchant's keys are stored, and shown to nobody again."""
    added = betalbar("sales-units", "add", _file(tmp_path), "--json")

    listed = betalbar("sales-units", "list", "--json")

    units = {row["msn"]: row for row in json.loads(listed.out)["items"]}
    assert json.loads(added.out) == {"msn": "654321", "name": "Second shop", "currency": "DKK"}
    assert set(units) == {"123456", "654321"}
    assert units["654321"]["vippsKeys"] == "sealed"
    assert SECRET not in listed.out


def test_sales_unit_added_can_have_keys_at_once(betalbar: Betalbar, tmp_path: Path) -> None:
    """The next command that is named is the one that works."""
    added = betalbar("sales-units", "add", _file(tmp_path))

    assert "betalbar keys create NAME --msn 654321" in added.out
    assert betalbar("keys", "create", "ERP", "--msn", "654321").code == 0


def test_sales_unit_added_twice_is_refused(betalbar: Betalbar, tmp_path: Path) -> None:
    """A second file can't silently replace a merchant's keys."""
    betalbar("sales-units", "add", _file(tmp_path))

    again = betalbar("sales-units", "add", _file(tmp_path, name="Third shop"))

    assert (again.code, again.err) == (1, "betalbar: sales unit 654321 exists already\n")


def test_sales_unit_from_standard_input_needs_no_file(
    betalbar: Betalbar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Secrets can be piped, and touch no disk on their way."""
    given = io.TextIOWrapper(io.BytesIO(json.dumps(UNIT).encode()))
    monkeypatch.setattr(sys, "stdin", given)

    assert betalbar("sales-units", "add", "-").code == 0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"msn": "12"}, "msn is four to ten digits"),
        ({"currency": "USD"}, "currency: "),
        ({"quietHours": "night"}, "quietHours: "),
        ({"colour": "red"}, "colour: "),
        ({"vippsKeys": {"clientId": "id", "clientSecret": SECRET}}, "vippsKeys.subscriptionKey: "),
        (
            {"vippsKeys": {"clientId": "", "clientSecret": SECRET, "subscriptionKey": "s"}},
            "client_id is visible ASCII",
        ),
    ],
)
def test_sales_unit_with_a_wrong_field_is_refused_by_name(
    betalbar: Betalbar, tmp_path: Path, changes: dict[str, object], said: str
) -> None:
    """The field is named, its neighbours' secrets are not repeated."""
    ended = betalbar("sales-units", "add", _file(tmp_path, **changes))

    assert ended.code == 1
    assert said in ended.err
    assert SECRET not in ended.err


def test_sales_unit_from_a_file_that_is_away_is_refused(betalbar: Betalbar) -> None:
    """The file is named."""
    ended = betalbar("sales-units", "add", "nowhere.json")

    assert (ended.code, ended.err) == (1, "betalbar: nowhere.json: No such file or directory\n")
