"""What is written is true: README, the list of problems and the help of each command."""

import ast
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
from markdown_it import MarkdownIt

import statemachine
from service.api.problems import KINDS
from service.door.answers import REFUSALS
from service.settings import Settings
from tests import reference

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
ERRORS = (ROOT / "docs" / "errors.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()

# Every block that a reader may paste, by its first words, and what runs it.
RUN_BY = {
    "make run": ".ci/run, but for `make run`, which is `betalbar serve --samples`: test_serving.py",
    "API=": "tests/service/cli/test_serving.py",
    "curl -s $API/v1/subscriptions": "tests/service/cli/test_serving.py",
    "# As pages": "tests/service/cli/test_serving.py",
}


def test_readme_diagram_is_drawn_from_the_table() -> None:
    """The picture that people trust is the table that the service runs."""
    between = README.split("<!-- machine: begin -->")[1].split("<!-- machine: end -->")[0]

    assert between.strip() == f"```mermaid\n{statemachine.mermaid()}```"


def test_readme_has_something_to_run_before_line_30() -> None:
    """Whoever looks in for a minute has it running."""
    first_lines = "\n".join(README.splitlines()[:30])

    assert all(command in first_lines for command in ("make run", "make test", "make demo"))


@pytest.mark.parametrize("path", list(reference.pages()), ids=lambda path: path.name)
def test_reference_is_what_the_code_says(path: Path) -> None:
    """An operator finds each setting with its default, and each command with its options.

    Where this fails: `make reference`."""
    assert path.read_text() == reference.pages()[path]


def test_settings_are_all_described() -> None:
    """No variable stands in the table without a word about it."""
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_readme_names_no_setting_that_is_not_there() -> None:
    """A variable that is set because the documentation says so is read."""
    named = set(re.findall(r"BETALBAR_[A-Z_]+[A-Z]", README))

    assert named <= {f"BETALBAR_{name.upper()}" for name in Settings.model_fields}


def test_commands_are_documented_and_nothing_else_is() -> None:
    """Each command can be found, and each that is found can be typed."""
    documented = {name for name in _rows(README) if name.startswith("betalbar ")}

    assert documented == {f"betalbar {path}" for path, _ in reference.commands()}


def test_commands_and_their_options_have_help() -> None:
    """`--help` teaches: what it does, and what each word means."""
    without = [path for path, command in reference.commands() if len(command.help or "") < 40]
    without += [
        f"{path} {option.name}"
        for path, command in reference.commands()
        for option in command.params
        if isinstance(option, typer.core.TyperOption) and not option.help
    ]

    assert without == []


@pytest.mark.parametrize(("path", "command"), list(reference.commands()), ids=str)
def test_commands_have_examples_that_can_be_typed(path: str, command: Any) -> None:
    """What `--help` shows as an example is taken as it stands."""
    lines = re.findall(r"^`(betalbar .*)`$", command.epilog or "", flags=re.MULTILINE)

    assert lines
    for line in lines:
        _, *words = shlex.split(line)
        assert words[: len(path.split())] == path.split()
        command.make_context(path, words[len(path.split()) :])


def test_readme_names_only_targets_that_make_knows() -> None:
    """What is typed after `make` is there, and says in `make help` what it does."""
    named = set(re.findall(r"\bmake ([a-z-]+)(?=[` #\n,)])", _code(README)))
    described = set(re.findall(r"^([a-z-]+):.*## ", MAKEFILE, flags=re.MULTILINE))
    phony = set(re.findall(r"^\.PHONY: (.*)$", MAKEFILE, flags=re.MULTILINE)[0].split())

    assert {"run", "test", "demo"} <= named <= described
    assert described == phony


def test_problem_codes_are_documented_with_their_status() -> None:
    """A merchant's developer finds every code, and what to do about it."""
    documented = {code: int(row[0]) for code, row in _rows(ERRORS).items()}

    missing = {code: status for code, status in _codes().items() if documented.get(code) != status}

    assert missing == {}


def test_problem_codes_that_are_documented_exist() -> None:
    """Nobody writes code for an answer that never comes."""
    # Those of the door, and the one that the router makes by itself.
    known = {*_codes(), *(code for code, _ in REFUSALS.values()), "method_not_allowed"}

    assert set(_rows(ERRORS)) - known == set()


def test_readme_shell_blocks_are_all_run_somewhere() -> None:
    """An example that rots is found by a test, not by a reader."""
    blocks = [t.content for t in MarkdownIt().parse(README) if t.type == "fence"]
    shell = [t.content for t in MarkdownIt().parse(README) if t.info == "bash"]

    known = [[first for first in RUN_BY if block.startswith(first)] for block in shell]

    assert len(shell) < len(blocks)
    assert [len(found) for found in known] == [1] * len(RUN_BY)


def test_links_between_documents_lead_somewhere() -> None:
    """No reader ends at a file that has moved."""
    texts = [README, ERRORS, (ROOT / "CHANGELOG.md").read_text()]

    links = [link for text in texts for link in re.findall(r"\]\(([^)#]+)\)", text)]

    assert [x for x in links if "://" not in x and not (ROOT / x).exists()] == []


def _rows(text: str) -> dict[str, list[str]]:
    """Return every table row whose first cell is code: the code, and its other cells, bare."""
    rows = (line.strip("|").split(" | ") for line in text.splitlines() if line.startswith("| `"))
    return {_bare(first): [_bare(cell) for cell in rest] for first, *rest in rows}


def _bare(cell: str) -> str:
    return cell.strip().strip("`")


def _code(text: str) -> str:
    """Return what stands in code, inline or in blocks, each on a line of its own."""
    inline = re.findall(r"`([^`\n]+)`", text)
    fences = [token.content for token in MarkdownIt().parse(text) if token.type == "fence"]
    return "\n".join([*inline, *fences, ""])


def _codes() -> dict[str, int]:
    """Return every code that an answer can carry, with its status.

    Those of the table in `problems.py`, and those that an error is raised with."""
    statuses = {cls.__name__: kind.status for cls, kind in KINDS.items()}
    found = {kind.code: kind.status for kind in KINDS.values()}
    for path in (ROOT / "service").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and "sandbox" not in path.parts:
                found |= _raised(node, statuses)
    return found


def _raised(call: ast.Call, statuses: dict[str, int]) -> dict[str, int]:
    name = ast.unparse(call.func).split(".")[-1]
    if name not in statuses:
        return {}
    named = [k.value for k in call.keywords if k.arg == "code"]
    named += call.args[:1] if name == "Conflict" else []
    texts = [node.value for node in named if isinstance(node, ast.Constant)]
    return {text: statuses[name] for text in texts if isinstance(text, str)}
