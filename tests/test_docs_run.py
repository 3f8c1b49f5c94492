"""What docs/ tells to type is typed: each page's shell blocks, in order, beside a service."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from service.settings import Settings
from tests.service.cli.test_serving import Served, free_port, served

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
WITHIN_S = 900

# Pages that stand beside one running service, in this order, each with what it must show. The
# erasure comes last, since it takes the customer away from all; what fails on purpose before it.
BESIDE_A_SERVICE = {
    "tutorial.md": [
        '"state":"pushed"',
        '"trigger":"authorize"',
        "state captured",
        "invoice.created my-first-invoice\ninvoice.pushed",
        "invoice.captured my-first-invoice",
    ],
    "how-to/go-live.md": [
        "All is well.",
        "check-refunded refunded",
        "check-cancelled cancelled",
    ],
    "how-to/nginx.md": ["All is well.", "answers 200"],
    "how-to/from-a-plugin.md": ["kept, from register", "Nothing differs."],
    "how-to/import.md": ["Would be: created 2", "created 2, unchanged 0", "created 1, unchanged 0"],
    "how-to/backup.md": ["is sound"],
    "how-to/rotation.md": ["has a new secret", '"secret":"whsec_', "BI, until summer"],
    "how-to/receiver.md": ["receiver-0001: pushed", '"secret":"whsec_'],
    "how-to/retention.md": ["ended deliveries 30 0", "events of the feed 400 0"],
    "how-to/erasure.md": ["before-erasure: pushed", '"reference":"before-erasure"'],
}
# Pages that start what they need on a PostgreSQL of their own.
ON_POSTGRESQL = {
    "how-to/postgresql.md": ["All is well.", "every history is whole"],
    "how-to/replicas.md": ["is registered now"],
}
# Pages with a test of their own.
ELSEWHERE = {"sandbox.md": "tests/sandbox/test_docs.py", "broker.md": "tests/service/broker"}

_NOT_RUN = re.compile(r"<!-- not run: .{10,} -->")
_SHELL = ("bash", "sh")

pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, ("bash", "curl"))), reason="NOT RUN: the documents' shell needs curl"
)


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block of a page, and whether a comment before it says why it is not run."""

    language: str
    text: str
    is_run: bool


def blocks(page: str) -> list[Block]:
    """Return a page's fenced blocks, in order."""
    found, comment = [], ""
    for token in MarkdownIt().parse((DOCS / page).read_text()):
        if token.type == "fence":
            found.append(Block(token.info, token.content, _NOT_RUN.match(comment) is None))
        comment = token.content.strip() if token.type == "html_block" else ""
    return found


def all_pages() -> list[str]:
    """Return every page by its path below docs/."""
    return sorted(str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md"))


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, Path]]:
    """Serve once for all pages, and give the folder that a reader would be in."""
    folder = tmp_path_factory.mktemp("served")
    with served(folder) as one:
        yield one, folder


@pytest.mark.parametrize("page", list(BESIDE_A_SERVICE))
def test_page_beside_a_service_does_what_it_says(service: tuple[Served, Path], page: str) -> None:
    """Whoever pastes block after block sees what the page promises."""
    one, folder = service
    replaced = {"http://127.0.0.1:8080": one.url, "bb_sandbox_...": one.key}

    told = _run(page, folder, replaced, {"BETALBAR_PORT": one.url.rpartition(":")[2]})

    said = re.sub(" +", " ", told)  # a table's columns are as wide as what other pages left in it
    assert [text for text in BESIDE_A_SERVICE[page] if text not in said] == []


@pytest.mark.parametrize("page", list(ON_POSTGRESQL))
def test_page_on_postgresql_does_what_it_says(
    empty_postgres_url: str, tmp_path: Path, page: str
) -> None:
    """Whoever pastes block after block has it running."""
    port, vipps_port = str(free_port()), str(free_port())
    replaced = {
        "postgresql://betalbar:...@127.0.0.1/betalbar": f"'{empty_postgres_url}'",
        "8080": port,
        "8090": vipps_port,
    }

    said = _run(page, tmp_path, replaced, {"BETALBAR_PORT": port})

    assert [text for text in ON_POSTGRESQL[page] if text not in said] == []


def test_every_shell_block_is_run_or_says_why_not() -> None:
    """A command that nobody tries is one that rots."""
    tried = {*BESIDE_A_SERVICE, *ON_POSTGRESQL, *ELSEWHERE}

    untried = [
        (page, block.text)
        for page in all_pages()
        for block in blocks(page)
        if block.language in _SHELL and block.is_run and page not in tried
    ]

    assert untried == []
    assert tried <= set(all_pages())


def test_settings_that_pages_show_are_there() -> None:
    """A variable that is set because a page says so is read."""
    texts = [(DOCS / page).read_text() for page in all_pages()]
    named = {name for text in texts for name in re.findall(r"BETALBAR_[A-Z_]+[A-Z]", text)}

    assert named <= {f"BETALBAR_{name.upper()}" for name in Settings.model_fields}


def test_tests_that_pages_name_are_there() -> None:
    """Whoever doubts a guarantee finds the test that tries to break it."""
    texts = [(DOCS / page).read_text() for page in all_pages()]
    named = {name for text in texts for name in re.findall(r"`(tests/[\w/.]+)`", text)}

    assert len(named) > 20
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_guarantee_is_explained() -> None:
    """All twelve of them, and no other."""
    rows = re.findall(r"^\| (I\d+) \|", (DOCS / "explanation/guarantees.md").read_text(), re.M)

    assert rows == [f"I{number}" for number in range(1, 13)]


def _run(page: str, folder: Path, replaced: dict[str, str], environment: dict[str, str]) -> str:
    """Run a page's blocks as one script in that folder; return what they said.

    What they start in the background ends with them."""
    shell = [one.text for one in blocks(page) if one.language in _SHELL and one.is_run]
    # The service is there already.
    script = "\n".join(text for text in shell if text != "make run\n")
    for old, new in {**replaced, "9000": str(free_port())}.items():
        script = script.replace(old, new)
    script = script.replace("curl -s ", "curl -sS --fail ")
    # A reader types slower than a busy machine works.
    script = script.replace("\nsleep 2\n", "\nsleep 6\n")
    kept = {k: v for k, v in os.environ.items() if not k.startswith("BETALBAR_")}
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    output = folder / "said.txt"
    with output.open("w") as file:
        process = subprocess.Popen(
            ["bash", "-euc", script],
            cwd=folder,
            env=kept | environment | {"PATH": path},
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code: int | None = process.wait(timeout=WITHIN_S)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            with suppress(ProcessLookupError):  # nothing was started in the background
                os.killpg(process.pid, signal.SIGTERM)
    said = output.read_text()
    assert code == 0, said
    return said
