"""The dashboard, the alerts and the runbook: about what the service really says."""

import json
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from service.app import create_app
from service.cli.program import program
from service.settings import load_settings

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
RULES = DOCS / "monitoring" / "betalbar.rules.yml"
DASHBOARD = DOCS / "monitoring" / "betalbar-dashboard.json"
RUNBOOK = DOCS / "how-to" / "runbook.md"


@cache
def _rules() -> list[dict[str, Any]]:
    read = yaml.safe_load(RULES.read_text())
    return [rule for group in read["groups"] for rule in group["rules"]]


def _asked_by_dashboard() -> list[str]:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel["targets"]]


async def _exposed(folder: Path) -> set[str]:
    """Return every name of a series that a running service may show."""
    app = create_app(load_settings({"BETALBAR_DATABASE_URL": f"sqlite:///{folder / 'x.db'}"}))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://any.host") as client:
        answer = await client.get("/metrics")
    app.state.context.database.dispose()
    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", answer.text, re.MULTILINE))
    parts = {"histogram": ("_bucket", "_sum", "_count")}
    return {name + part for name, kind in kinds.items() for part in parts.get(kind, ("",))}


async def test_metrics_that_are_asked_for_are_exposed(tmp_path: Path) -> None:
    """No alert is silent, and no panel empty, because a name has changed."""
    exposed = await _exposed(tmp_path)

    asked = "\n".join([*_asked_by_dashboard(), *(rule["expr"] for rule in _rules())])
    named = set(re.findall(r"\bbetalbar_\w+", asked))

    assert len(named) > 15
    assert named - exposed == set()


def test_alerts_lead_to_a_place_in_the_runbook() -> None:
    """Whoever is woken is told what to do."""
    titles = re.findall(r"^## (.+)$", RUNBOOK.read_text(), re.MULTILINE)
    places = {title.lower().replace(" ", "-") for title in titles}

    led_to = {rule["annotations"]["runbook"] for rule in _rules()}

    assert led_to <= {f"docs/how-to/runbook.md#{place}" for place in places}
    assert all(rule["annotations"]["summary"] for rule in _rules())


def test_alerts_are_read_by_prometheus() -> None:
    """Its own tool takes every rule."""
    if shutil.which("promtool") is None:
        pytest.skip("NOT RUN: promtool is not installed")

    said = subprocess.run(["promtool", "check", "rules", RULES], capture_output=True, text=True)

    assert said.returncode == 0, said.stderr + said.stdout
    assert f"{len(_rules())} rules found" in said.stdout


def test_runbook_names_commands_that_are_there() -> None:
    """At night nobody types what does not exist."""
    text = RUNBOOK.read_text()
    known: Any = program()

    for typed in re.findall(r"`betalbar ([^`]+)`", text):
        command, words = known, typed.split()
        while words and hasattr(command, "commands"):
            command = command.commands[words.pop(0)]
        options = {name for param in command.params for name in param.opts}
        assert {word for word in words if word.startswith("--")} <= options, typed


def test_every_trouble_of_the_runbook_was_tried() -> None:
    """What is promised for a bad night has been seen: each section names its tests."""
    _, _, *troubles = re.split("^## ", RUNBOOK.read_text(), flags=re.MULTILINE)

    assert len(troubles) == 9
    untried = [trouble for trouble in troubles if not re.search(r"`tests/\S+::test_\w+`", trouble)]
    assert untried == []
