"""`/asyncapi.json`: valid by AsyncAPI's own parser, and of the same schemas."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from service.api.contract.asyncapi import asyncapi, served_asyncapi
from service.api.contract.openapi import openapi
from service.broker.cloud_events import Told, cloud_event
from service.outbox.event_types import EVENT_TYPES
from tests.npm import install

PARSER = "@asyncapi/parser@3.6.6"

_CHECK = """
import { readFileSync } from "node:fs";
import parser from "@asyncapi/parser";

const text = readFileSync(process.argv[2], "utf8");
const { document, diagnostics } = await new parser.Parser().parse(text);
const errors = diagnostics.filter((one) => one.severity === 0);
const wrong = errors.map((one) => `${one.path.join("/")}: ${one.message}`);
const names = document ? document.allMessages().all().map((one) => one.id()) : [];
console.log(JSON.stringify({ wrong, names }));
"""


@pytest.fixture(scope="module")
def parser(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fetch AsyncAPI's own parser into a folder; skip loudly where that cannot be done."""
    folder = tmp_path_factory.mktemp("asyncapi")
    install(folder, PARSER, for_what="AsyncAPI's parser", tools=("node", "npm"))
    (folder / "check.mjs").write_text(_CHECK)
    return folder


def _parsed(folder: Path, document: Any) -> dict[str, list[str]]:
    file = folder / "asyncapi.json"
    file.write_text(json.dumps(document))
    command = ["node", "check.mjs", str(file)]
    run = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=60, check=True
    )
    found: dict[str, list[str]] = json.loads(run.stdout)
    return found


def test_asyncapis_own_parser_takes_the_document(parser: Path) -> None:
    """Any tool for AsyncAPI can read it."""
    found = _parsed(parser, served_asyncapi("https://pay.example"))

    assert found["wrong"] == []
    assert set(EVENT_TYPES) <= set(found["names"])


def test_asyncapis_own_parser_refuses_a_document_that_is_wrong(parser: Path) -> None:
    """The check can fail."""
    document = {**served_asyncapi("https://pay.example"), "operations": {"x": {"action": "cry"}}}

    assert _parsed(parser, document)["wrong"] != []


def test_events_have_the_same_schemas_in_both_documents() -> None:
    """There is one truth about an event."""
    theirs = openapi()["components"]["schemas"]

    ours = asyncapi()["components"]["schemas"]

    assert {name: theirs[name] for name in ours} == ours
    assert set(asyncapi()["channels"]["webhook"]["messages"]) == set(EVENT_TYPES)


def test_cloud_event_is_as_the_document_says() -> None:
    """Who reads the broker by this document reads it right."""
    document = asyncapi()
    message = document["components"]["messages"]["cloudevent.customer.withdrawn"]
    event = {
        "id": "evt_" + "0" * 26,
        "type": "customer.withdrawn",
        "timestamp": "2026-11-22T10:00:00.123Z",
        "sequence": 0,
        "data": {
            "customer": {"id": "cus_1"},
            "consent": {"grantedAt": None, "source": None, "withdrawnAt": None},
        },
    }
    told = Told(event["id"], event["type"], json.dumps(event).encode())  # type: ignore[arg-type]

    published = json.loads(cloud_event(told, "https://pay.example/sales-units/123456"))

    schema = {**message["payload"], "components": document["components"]}
    assert list(Draft202012Validator(schema).iter_errors(published)) == []
    assert list(Draft202012Validator(schema).iter_errors({**published, "type": "x"})) != []
