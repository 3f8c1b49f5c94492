"""What is logged: only what may be."""

import ast
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from service import logs

PHONE = "4791234567"


@pytest.fixture
def logged(capsys: pytest.CaptureFixture[str]) -> Iterator[pytest.CaptureFixture[str]]:
    """Give what is written, and log as before afterwards."""
    root, ours = logging.getLogger(), logging.getLogger("service")
    handlers, levels = root.handlers[:], (root.level, ours.level)
    yield capsys
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    ours.setLevel(levels[1])
    structlog.reset_defaults()


def test_log_of_a_field_that_is_not_listed_leaves_it_out(
    logged: pytest.CaptureFixture[str],
) -> None:
    """A new field must be allowed before it is seen: lists of what is secret have holes."""
    logs.configure_logs("json")

    structlog.get_logger("service.x").info("webhook_stored", outcome="applied", phone=PHONE)

    entry = json.loads(logged.readouterr().err)

    assert (entry["event"], entry["outcome"], entry["level"]) == (
        "webhook_stored",
        "applied",
        "info",
    )
    assert "phone" not in entry


def test_log_of_an_error_has_its_type_and_places_and_not_its_message(
    logged: pytest.CaptureFixture[str],
) -> None:
    """What an error quotes may be a customer's number."""
    logs.configure_logs("json")

    try:
        raise ValueError(f"{PHONE} is no number")
    except ValueError:
        structlog.get_logger("service.x").exception("command_failed", command="cmd_1")

    written = logged.readouterr().err

    entry = json.loads(written)
    assert (entry["error"], entry["command"]) == ("ValueError", "cmd_1")
    assert entry["places"][-1].split(":")[0] == __file__
    assert PHONE not in written


def test_log_of_a_library_is_cut_to_its_first_line_and_its_errors_type(
    logged: pytest.CaptureFixture[str],
) -> None:
    """asyncio and the server report a lost error with its message behind the first line."""
    logs.configure_logs("json")
    error = ValueError(PHONE)

    logging.getLogger("asyncio").error("Task exception\nfuture: %r", error, exc_info=error)

    written = logged.readouterr().err
    assert json.loads(written)["event"] == "Task exception"
    assert PHONE not in written


def test_log_below_its_level_is_not_written(logged: pytest.CaptureFixture[str]) -> None:
    """HTTP libraries tell every URL at `info`, and a URL can be a secret."""
    logs.configure_logs("json")

    logging.getLogger("httpx").info("POST https://shop.example/secret-path")

    assert logged.readouterr().err == ""


def test_log_fields_of_the_service_are_all_listed() -> None:
    """What the code says shall also be seen."""
    said = {
        keyword.arg
        for path in Path(logs.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("log.")
        for keyword in node.keywords
    }

    assert said <= logs.ALLOWED_FIELDS | {"exc_info"}
