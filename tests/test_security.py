"""What the pages about security and trouble promise is shown by tests that exist."""

import ast
import re
import tomllib
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = ("docs/security.md", "SECURITY.md", "docs/how-to/runbook.md")
# The study's rows; it has no T28.
ROWS = [*(f"T{n}" for n in range(1, 53) if n != 28), *(f"F{n}" for n in range(1, 25))]

_TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


@cache
def _tests_of(file: str) -> frozenset[str]:
    """Return the names of a file's tests, none where there is no such file."""
    path = ROOT / file
    nodes = ast.walk(ast.parse(path.read_text())) if path.exists() else ()
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in nodes if isinstance(node, kinds))


def _rows(page: str) -> dict[str, str]:
    """Return a page's table rows by their first cell."""
    lines = (ROOT / page).read_text().splitlines()
    return {line.split("|")[1].strip(): line for line in lines if line.startswith("| ")}


@pytest.mark.parametrize("page", PAGES)
def test_named_tests_exist(page: str) -> None:
    """Whoever follows a claim to its test finds it."""
    named = _TEST.findall((ROOT / page).read_text())

    assert named
    assert [f"{file}::{name}" for file, name in named if name not in _tests_of(file)] == []


def test_every_row_of_the_study_is_answered() -> None:
    """No threat and no fault is left out: each has a test, or says what is open."""
    rows = _rows("docs/security.md")
    studied = [row for row in rows if re.fullmatch(r"[TF]\d+", row)]

    assert studied == ROWS
    assert [
        row for row in ROWS if not _TEST.search(rows[row]) and "**open**" not in rows[row]
    ] == []


def test_modules_that_sign_compare_no_results_with_equals() -> None:
    """How long a comparison takes tells nothing: digests go through `compare_digest` (T19)."""
    compared = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for package in ("service", "webhooks")
        for path in (ROOT / package).rglob("*.py")
        if "sandbox" not in path.parts and "import hmac" in (source := path.read_text())
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Compare) and _is_of_bytes(node)
    ]

    assert compared == []


def _is_of_bytes(node: ast.Compare) -> bool:
    """Tell whether results of calls that make bytes are compared by `==` or `!=`."""
    makes = ("digest", "_expected", "authorization_for", "csrf_token", "bearer", "encode")
    sides = (node.left, *node.comparators)
    is_equality = any(isinstance(operator, ast.Eq | ast.NotEq) for operator in node.ops)
    called = [ast.unparse(s.func).split(".")[-1] for s in sides if isinstance(s, ast.Call)]
    return is_equality and any(name in makes for name in called)


def test_linter_refuses_sql_made_of_text() -> None:
    """No statement is put together from what somebody sent (T40)."""
    lint = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]

    assert "S" in lint["select"]
    assert not any("S608" in rule or rule == "S" for rule in lint.get("ignore", []))
    ignored = {rule for rules in lint["per-file-ignores"].values() for rule in rules}
    assert {"S", "S608"}.isdisjoint(ignored)
    excused = [
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "service").rglob("*.py")
        if "noqa: S608" in path.read_text()
    ]
    # These two put names of our own tables and columns together, never values.
    assert sorted(excused) == ["service/store/among.py", "service/store/statements.py"]


@pytest.mark.parametrize("file", ["requirements.txt", "requirements-dev.txt"])
def test_every_requirement_is_pinned_with_its_hashes(file: str) -> None:
    """What is installed is what was looked at, byte for byte (T50)."""
    pinned = re.split(r"\n(?=[A-Za-z0-9])", (ROOT / file).read_text())[1:]

    loose = [one.split()[0] for one in pinned if "==" not in one or "--hash=sha256:" not in one]

    assert len(pinned) > 30
    assert loose == []
    installs = re.findall(r"pip install (.*)", (ROOT / "Makefile").read_text())
    assert [
        one for one in installs if "--require-hashes" not in one and "--no-deps" not in one
    ] == []
