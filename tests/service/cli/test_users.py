"""`betalbar users`: a password shown once, a list without secrets, an end at once."""

import json

import pytest

from tests.service.cli.conftest import Betalbar


def test_user_is_added_listed_and_disabled(betalbar: Betalbar) -> None:
    """Who moves money gets a code for an authenticator app as well."""
    made = json.loads(betalbar("users", "add", "kari", "--role", "finance", "--json").out)
    viewer = betalbar("users", "add", "per@acme.example", "--name", "Per")

    assert made["authenticator"].startswith("otpauth://totp/Betalbar:kari?secret=")
    assert "/console" in viewer.out
    assert "secret" not in viewer.out
    assert betalbar("users", "disable", "per@acme.example").code == 0
    listed = json.loads(betalbar("users", "list", "--json").out)["items"]
    assert [(row["login"], row["name"], row["role"]) for row in listed] == [
        ("kari", "kari", "finance"),
        ("per@acme.example", "Per", "viewer"),
    ]
    assert [row["disabledAt"] is None for row in listed] == [True, False]
    assert made["password"] not in json.dumps(listed)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("add", "kari nordmann"), "login: "),
        (("add", "per", "--msn", "999999"), "there is no sales unit 999999"),
        (("disable", "nobody"), "there is no user nobody"),
    ],
    ids=str,
)
def test_what_cant_be_is_refused_with_the_reason(
    betalbar: Betalbar, words: tuple[str, ...], said: str
) -> None:
    """Nothing is stored, and the exit code says so."""
    ended = betalbar("users", *words)

    assert ended.code == 1
    assert said in ended.err
    assert json.loads(betalbar("users", "list", "--json").out) == {"items": []}


def test_login_is_taken_once(betalbar: Betalbar) -> None:
    """The first one's password stays."""
    betalbar("users", "add", "kari")

    assert betalbar("users", "add", "KARI").code == 1
