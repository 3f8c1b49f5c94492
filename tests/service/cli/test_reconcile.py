"""`betalbar reconcile` beside a service that is running, on one SQLite file."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.flows.processes import HTTP
from tests.service.cli.test_serving import README, served


def reconcile(folder: Path, url: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the command beside what listens at `url`."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("BETALBAR_")}
    port = {"BETALBAR_PORT": url.rsplit(":", 1)[1]}
    return subprocess.run(
        [sys.executable, "-m", "service.cli", "reconcile", *words],
        cwd=folder,
        env=kept | port | {"PYTHONPATH": str(README.parent)},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


def test_reconcile_beside_a_running_service_heals_a_lost_webhook(tmp_path: Path) -> None:
    """Vipps's webhooks are lost, I run one command, and the invoice is where the money is."""
    with served(tmp_path) as one:
        headers = {"Authorization": f"Bearer {one.key}"}
        body = {
            "amount": {"currency": "NOK", "value": 100},
            "customer": {"phoneNumber": "4791234567"},
            "reference": "lost-webhook",
        }
        made = HTTP.post(f"{one.url}/v1/invoices?wait=10", json=body, headers=headers, timeout=20)
        HTTP.put(f"{one.url}/sandbox/chaos", json={"lose": 1}).raise_for_status()
        approve = f"{one.url}/sandbox/payments/lost-webhook/approve"
        HTTP.post(approve).raise_for_status()
        later = {"advanceSeconds": 7200}
        HTTP.post(f"{one.url}/sandbox/clock", json=later).raise_for_status()

        ended = reconcile(tmp_path, one.url, "--json")
        now = HTTP.get(f"{one.url}/v1/invoices/lost-webhook", headers=headers).json()
        moved = HTTP.get(f"{one.url}/v1/invoices/lost-webhook/transitions", headers=headers)
        unknown = reconcile(tmp_path, one.url, "--reference", "never-seen")

    assert made.json()["state"] == "pushed"
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["read"] == 1
    assert now["state"] == "authorized"
    # By the sandbox's clock, which the service follows too.
    recorded_at = datetime.fromisoformat(moved.json()["items"][-1]["recordedAt"])
    assert recorded_at > datetime.now(UTC) + timedelta(hours=1)
    assert (unknown.returncode, "no payment of an invoice never-seen" in unknown.stderr) == (
        1,
        True,
    )
