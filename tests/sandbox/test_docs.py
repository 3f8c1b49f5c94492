"""docs/sandbox.md is true: what a reader may paste works, and the tables are the code's."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from markdown_it import MarkdownIt

from service.sandbox import create_sandbox
from service.sandbox.cards import CARDS
from service.sandbox.chaos import plan_answer, plan_of
from service.sandbox.scenario import parse_scenario
from tests.sandbox.differences import DIFFERENCES
from tests.sandbox.harness import CALM, Merchant

PAGE = (Path(__file__).parents[2] / "docs" / "sandbox.md").read_text(encoding="utf-8")


def blocks(language: str, *, within: str) -> list[str]:
    """Return the code in that language below that heading."""
    section = PAGE.split(f"## {within}\n")[1].split("\n## ")[0]
    tokens = MarkdownIt().parse(section)
    return [token.content for token in tokens if token.type == "fence" and token.info == language]


def test_curl_from_token_to_captured_works_as_it_stands(lone_merchant: Merchant) -> None:
    """A reader pastes block after block, and the money is captured."""
    missing = [tool for tool in ("bash", "curl", "jq") if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"NOT RUN: the curl of docs/sandbox.md needs {', '.join(missing)}")
    script = "\n".join(["set -euo pipefail", *blocks("sh", within="From token to captured")])
    url = str(lone_merchant.client.base_url).rstrip("/")
    script = script.replace("http://127.0.0.1:8090", url)

    run = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)

    assert run.returncode == 0, run.stderr
    assert "CREATED\nAUTHORIZED\nCAPTURED\n" in run.stdout
    found = lone_merchant.get("invoice-0001")
    assert found["aggregate"]["capturedAmount"]["value"] == 20_000
    assert [effect["effect"] for effect in lone_merchant.effects()] == [
        "created",
        "authorized",
        "captured",
    ]


def test_scenario_of_the_page_can_be_played() -> None:
    """The example is one that the sandbox takes."""
    (example,) = blocks("yaml", within="Scenarios")

    assert [step.act for step in parse_scenario(example, name="docs").steps] == [
        "wait-for",
        "postpone",
        "approve",
        "advance",
        "chaos",
    ]
    assert yaml.safe_load(example)["speed"] == 3600


def test_table_of_differences_is_the_tests_own() -> None:
    """What the sandbox says beyond Vipps's files is told, all of it and nothing else."""
    between = PAGE.split("<!-- differences: begin -->")[1].split("<!-- differences: end -->")[0]
    rows = [
        tuple(cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1])
        for line in between.strip().splitlines()[2:]
    ]

    assert rows == [(f"`{d.operation}`", f"`{d.what}`", d.why, d.source) for d in DIFFERENCES]


def test_every_path_below_sandbox_is_told() -> None:
    """Whatever a test can do stands in the table."""
    paths = [route.path for route in create_sandbox(CALM).routes]
    calls = [p for p in paths if p.startswith("/sandbox/") and "/controls" not in p]

    ends = [path.partition("{reference}")[2] or path.partition("/{")[0] for path in calls]
    assert len(ends) > 10
    assert [end for end in ends if re.search(rf"{re.escape(end)}[`\[/?]", PAGE) is None] == []


def test_every_card_and_share_of_chaos_is_told() -> None:
    """Names that can be set can be found."""
    names = [*CARDS, *plan_answer(plan_of({}))]

    assert [name for name in names if f"`{name}`" not in PAGE] == []
