"""`betalbar demo`: the story, and the receiver that it is told to."""

import os
import secrets
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console

from service.cli import demo_receiver
from service.cli.demo_receiver import Receiver
from service.cli.demo_stage import DemoFailed, staged
from webhooks import standard

SECRET = standard.new_secret(b"s" * 32)


def _signed(body: bytes, *, secret: str = SECRET) -> dict[str, str]:
    return standard.sign(webhook_id="evt_1", at=datetime.now(UTC), body=body, secrets=[secret])


def test_demo_plays_to_its_end_and_leaves_nothing_behind(tmp_path: Path) -> None:
    """A newcomer sees the whole story; .ci/run holds it to a minute, where it runs alone."""
    ran = subprocess.run(
        [sys.executable, "-m", "service.cli", "demo"],
        cwd=Path(__file__).parents[3],
        env=os.environ | {"TMPDIR": str(tmp_path), "BETALBAR_PORT": "nonsense"},
        capture_output=True,
        text=True,
    )

    assert (ran.returncode, ran.stderr) == (0, "")
    assert "standardwebhooks" in ran.stdout
    assert "the subscriber has every one" in ran.stdout
    assert list(tmp_path.iterdir()) == []


def test_demo_that_is_broken_says_where_and_shows_the_log(tmp_path: Path) -> None:
    """A story that fails is no story: it ends with the reason."""
    console = Console(quiet=True)

    with pytest.raises(DemoFailed) as failed, staged(tmp_path, console) as stage:
        stage.call("GET", "/v1/invoices/nowhere-at-all")

    assert "GET /v1/invoices/nowhere-at-all answered 404" in str(failed.value)
    assert "Betalbar is at http://127.0.0.1:" in str(failed.value)


@pytest.mark.parametrize("is_installed", [True, False])
def test_demo_receiver_takes_what_is_signed_and_refuses_the_rest(
    is_installed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proof is the same with the official package and, where it is missing, with ours."""
    if not is_installed:
        monkeypatch.setitem(sys.modules, "standardwebhooks", None)
    receiver = Receiver(port=0)
    receiver.trust(SECRET)
    body = b'{"type":"invoice.pushed","data":{}}'
    other = standard.new_secret(secrets.token_bytes(32))

    taken = [receiver.take(_signed(body), body) for _ in range(2)]
    forged = receiver.take(_signed(body, secret=other), body)

    assert (taken, forged, receiver.forged) == ([204, 204], 401, 1)
    assert receiver.ids() == ["evt_1"]
    assert ("standardwebhooks" in receiver.verifier_name) is is_installed


def test_demo_receiver_without_a_secret_asks_to_come_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A ping that is faster than the answer with the secret is not lost."""
    monkeypatch.setattr(demo_receiver, "SECRET_WITHIN_S", 0.01)

    assert Receiver(port=0).take(_signed(b"{}"), b"{}") == 503
