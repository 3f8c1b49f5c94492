"""`betalbar doctor --bundle`: enough to help, and nothing that somebody must not see."""

import json
import stat
from pathlib import Path

from tests.service.cli.conftest import Betalbar

_KEYS = {
    "vipps_url": "http://CANARY-user:CANARY-password@127.0.0.1:1",
    "vipps_client_id": "CANARY-client",
    "vipps_client_secret": "CANARY-secret",
    "vipps_subscription_key": "CANARY-subscription",
    "api_key": "CANARY-api-key-4711",
    "metrics_key": "CANARY-metrics",
}


def test_bundle_tells_enough_and_nothing_secret_or_personal(
    betalbar: Betalbar, tmp_path: Path
) -> None:
    """I can mail it to somebody: no key, no number, no name, no reference is in it."""
    file = tmp_path / "bundle.json"
    betalbar("migrate", **_KEYS)
    sent = ("--to", "4798765432", "--amount", "200", "--reference", "CANARY-reference")
    betalbar("invoices", "send", *sent, **_KEYS)

    betalbar("doctor", "--bundle", str(file), **_KEYS)

    text = file.read_text()
    shown = json.loads(text)
    assert [word for word in ("CANARY", "4798765432") if word in text] == []
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert shown["settings"]["BETALBAR_VIPPS_CLIENT_SECRET"] == "set"
    assert shown["settings"]["BETALBAR_VIPPS_URL"] == "127.0.0.1"
    assert {"versions", "findings", "figures", "registrations", "vipps_errors"} <= set(shown)


def test_bundle_of_an_installation_without_a_database_says_so(
    betalbar: Betalbar, tmp_path: Path
) -> None:
    """What is broken is what I need help with."""
    file = tmp_path / "bundle.json"

    betalbar("doctor", "--bundle", str(file))

    shown = json.loads(file.read_text())
    assert [one["check"] for one in shown["findings"] if not one["is_well"]] == ["database"]
    assert "settings" not in shown
