"""What can't be started is said in one line, with exit code 2."""

import socket
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.service.cli.conftest import Betalbar

REAL = {
    "vipps_url": "https://apitest.vipps.no",
    "public_url": "https://pay.example.com",
    "vipps_client_id": "id",
    "vipps_client_secret": "secret",
    "vipps_subscription_key": "key",
    "vipps_msn": "123456",
}
POSTGRES = {"database_url": "postgresql://nobody@127.0.0.1:9/nothing"}


@pytest.mark.parametrize(
    ("words", "settings", "said"),
    [
        (["serve", "--processes", "2"], {}, "SQLite has one writer"),
        (["serve", "--processes", "2"], POSTGRES, "the built-in sandbox lives in one process"),
        (["serve", "--samples"], REAL, "samples are only for the built-in sandbox"),
        (["serve"], {"port": "http"}, "BETALBAR_PORT: "),
        (["serve"], {"currency": "USD"}, "BETALBAR_CURRENCY: "),
        (["worker"], {}, "BETALBAR_VIPPS_URL: "),
        (["keys", "list"], REAL, "BETALBAR_MASTER_KEYS: "),
        (["keys", "list"], {"master_keys": "short"}, "BETALBAR_MASTER_KEYS: "),
    ],
)
def test_settings_that_can_not_be_end_with_two_and_their_name(
    betalbar: Betalbar, words: list[str], settings: dict[str, str], said: str
) -> None:
    """An operator reads what to change, not a traceback."""
    ended = betalbar(*words, **settings)

    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("words", [["serve"], ["sandbox", "--port", ""]])
def test_port_that_is_taken_ends_with_two_and_another_to_try(
    betalbar: Betalbar, words: list[str]
) -> None:
    """The second `make run` says what is wrong."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = betalbar(*(word or port for word in words), port=port)

    assert (ended.code, ended.out) == (2, "")
    assert f"127.0.0.1:{port}: address already in use" in ended.err
    assert "BETALBAR_PORT=" in ended.err


@pytest.mark.parametrize("words", [["nothing"], ["keys", "create"], ["serve", "--processes", "0"]])
def test_command_that_is_not_there_ends_with_two(betalbar: Betalbar, words: list[str]) -> None:
    """A slip in a script is told apart from a refusal."""
    assert betalbar(*words).code == 2


def test_version_is_that_of_the_package(betalbar: Betalbar) -> None:
    """A report of a fault can name it, also where no setting is right."""
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())

    ended = betalbar("--version", port="http")

    assert (ended.code, ended.err) == (0, "")
    assert ended.out == f"betalbar {project['project']['version']}\n"


@pytest.mark.parametrize("scale", ["0", "-1", "2", "slow"])
def test_retry_scale_out_of_range_ends_with_two(betalbar: Betalbar, scale: str) -> None:
    """At nought nothing would ever be tried again."""
    ended = betalbar("sandbox", "--retry-scale", scale)

    assert ended.code == 2
    assert "--retry-scale" in ended.err


def test_database_that_is_away_ends_with_one(betalbar: Betalbar) -> None:
    """It may be back in a second: that is no mistake of the caller's."""
    ended = betalbar("keys", "list", **POSTGRES)

    assert (ended.code, ended.err) == (1, "betalbar: The database is away; nothing was changed.\n")


def test_postgresql_with_an_older_schema_is_refused_until_migrated(
    betalbar: Betalbar, empty_postgres_url: str
) -> None:
    """A new version never runs on tables that it does not know."""
    on_postgres = {"database_url": empty_postgres_url}

    before = betalbar("keys", "list", **on_postgres)
    migrated = betalbar("migrate", **on_postgres)
    after = betalbar("keys", "list", **on_postgres)

    assert (before.code, after.code) == (2, 0)
    assert "run `betalbar migrate`" in before.err
    assert migrated.out == "The database has this version's schema.\n"
    assert betalbar("migrate", **on_postgres).code == 0


def test_command_loads_nothing_that_only_servers_need() -> None:
    """Who types a short command does not wait for the libraries of a service."""
    asked = "import sys; from service.cli import program; program().commands['keys']"
    heavy = "('service.app', 'service.sandbox', 'reportlab', 'nats')"
    script = f"{asked}; print([name for name in {heavy} if name in sys.modules])"

    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)

    assert said.stdout == "[]\n", said.stderr
