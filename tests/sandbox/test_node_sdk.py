"""Vipps's last published Node SDK works against the sandbox, unchanged but for its address."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.npm import install
from tests.sandbox.harness import Merchant

PACKAGE = "@vippsmobilepay/sdk@2.4.2"
SCRIPT = Path(__file__).with_name("node_sdk.mjs")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the SDK into a folder of its own; skip loudly where that cannot be done."""
    folder = tmp_path_factory.mktemp("node")
    install(folder, PACKAGE, for_what="Vipps's Node SDK", tools=("node", "npm"))
    return Path(shutil.copy(SCRIPT, folder))


def test_vippss_node_sdk_pays_at_the_sandbox(installed: Path, lone_merchant: Merchant) -> None:
    """Created, approved, captured, refunded and cancelled by the peer's own code.

    The SDK always calls apitest.vipps.no and can't be told otherwise; the script sends its
    requests on by wrapping the `fetch` that the SDK uses. Nothing else is changed.
    """
    url = str(lone_merchant.client.base_url).rstrip("/")
    run = subprocess.run(
        ["node", installed.name],
        cwd=installed.parent,
        env=os.environ | {"SANDBOX": url},
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout)
    assert told["redirectUrl"].startswith("http")
    assert "6080" in json.dumps(told["early"])
    sums = {name: amount["value"] for name, amount in told["payment"]["aggregate"].items()}
    assert sums == {
        "authorizedAmount": 20_000,
        "capturedAmount": 15_000,
        "refundedAmount": 5_000,
        "cancelledAmount": 5_000,
    }
    assert [entry["name"] for entry in told["history"]] == [
        "CREATED",
        "AUTHORIZED",
        "CAPTURED",
        "REFUNDED",
        "CANCELLED",
    ]
    assert told["webhooks"] == 1
