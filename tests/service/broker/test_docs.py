"""docs/broker.md is true: what is pasted runs, and every reason stands in it."""

import ast
import asyncio
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from markdown_it import MarkdownIt

from tests.flows.processes import clean_environment, eventually, free_port
from tests.nats_server import NatsServer

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs" / "broker.md").read_text()


def test_commands_of_the_document_publish_the_samples(tmp_path: Path) -> None:
    """I paste two lines, and the events are in the broker."""
    [block] = [t.content for t in MarkdownIt().parse(TEXT) if t.info == "bash"]
    broker = NatsServer(tmp_path)
    mine = f"nats-server -js -a 127.0.0.1 -p {broker.port} -sd {tmp_path}"
    script = block.replace("nats-server -js", mine).replace("4222", str(broker.port))
    # `make run` is this, in the virtual environment.
    script = script.replace("make run", "betalbar serve --samples")
    environment = clean_environment(BETALBAR_PORT=str(free_port()))
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"

    with (tmp_path / "output").open("wb") as output:
        shell = subprocess.Popen(
            ["bash", "-c", script],
            cwd=tmp_path,
            env=environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        eventually(lambda: _types(broker), within_s=60, what="published")
    finally:
        os.killpg(shell.pid, signal.SIGKILL)
        shell.wait(30)


def _types(broker: NatsServer) -> bool:
    try:
        events = asyncio.run(broker.events())
    except OSError as error:
        raise AssertionError("no broker yet") from error
    return "invoice.pushed" in {event["type"] for event in events}


def test_every_reason_is_documented_and_nothing_else_is() -> None:
    """Whatever the log says, an operator finds what it means."""
    source = ast.parse((ROOT / "service" / "broker" / "link.py").read_text())
    words = {
        node.value
        for node in ast.walk(source)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    documented = set(re.findall(r"^\| `([a-z_]+)` \|", TEXT, flags=re.MULTILINE))

    raised = {word for word in words if re.fullmatch(r"[a-z]+(_[a-z]+)+|unreachable|refused", word)}
    named = {"nkeys_seed_str", "user_credentials"}
    assert documented - {"datacontenttype", "source", "id", "subject"} == raised - named
