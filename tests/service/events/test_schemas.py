"""The published schemas are what is sent, and promise for good."""

import copy
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from jsonschema import Draft202012Validator, ValidationError

from service.events.__main__ import main
from service.events.schemas import all_schemas, broken_promises, event_schema
from service.outbox.event_types import EVENT_TYPES
from service.outbox.ping import ping_payload
from tests.event_contract import check_event

PUBLISHED = Path(__file__).parents[3] / "docs" / "events.schema.json"


def test_published_schemas_are_what_is_sent() -> None:
    """The file that merchants generate code from is true: `make schemas` writes it."""
    published = json.loads(PUBLISHED.read_text())

    assert broken_promises(published, all_schemas()) == []
    assert published == all_schemas()


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_schema_of_each_type_is_valid_and_complete(event_type: str) -> None:
    """Each can be used alone, in any library for JSON Schema 2020-12."""
    schema = event_schema(event_type)

    Draft202012Validator.check_schema(schema)
    references = {text for text in _strings(schema) if text.startswith("#/")}
    assert references == {f"#/$defs/{name}" for name in schema.get("$defs", {})}
    assert schema["properties"]["type"] == {"const": event_type}


def test_ping_keeps_to_its_schema() -> None:
    """Also the event that is in no feed is what is published."""
    ping = orjson.loads(ping_payload("evt_" + "0" * 26, at=datetime(2026, 11, 22, tzinfo=UTC)))

    check_event(ping)
    with pytest.raises(ValidationError):
        check_event({**ping, "extra": 1})


def test_schema_of_an_unknown_type_is_an_error() -> None:
    """A typing mistake is no empty schema."""
    with pytest.raises(KeyError):
        event_schema("invoice.paid")


def test_member_that_disappears_or_changes_its_type_breaks_the_promise() -> None:
    """A receiver's code that was right stays right."""
    old = all_schemas()
    new = copy.deepcopy(old)
    invoice = new["$defs"]["InvoiceShape"]
    del invoice["properties"]["kid"]
    invoice["properties"]["sequence"] = {"type": "string"}
    invoice["required"].remove("push")
    new["$defs"]["Money"]["properties"]["currency"]["enum"].remove("DKK")
    del new["$defs"]["invoice.failed"]

    broken = broken_promises(old, new)

    assert sorted(broken) == [
        "/$defs/InvoiceShape/properties/kid",
        "/$defs/InvoiceShape/properties/sequence/type",
        "/$defs/InvoiceShape/required/push",
        "/$defs/Money/properties/currency/enum/DKK",
        "/$defs/invoice.failed",
    ]


def test_member_or_type_that_is_added_breaks_nothing() -> None:
    """New things can be told."""
    new = all_schemas()
    old = copy.deepcopy(new)
    del old["$defs"]["InvoiceShape"]["properties"]["kid"]
    old["$defs"]["InvoiceShape"]["required"].remove("kid")
    del old["$defs"]["invoice.failed"]

    assert broken_promises(old, new) == []


def test_writing_the_file_refuses_to_take_a_promise_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever removes a member is stopped before the file is."""
    file = tmp_path / "events.schema.json"
    assert main(file) == 0
    promised = orjson.loads(file.read_bytes())
    promised["$defs"]["Money"]["properties"]["scale"] = {"type": "integer"}
    file.write_bytes(orjson.dumps(promised))

    assert main(file) == 1

    assert "properties/scale" in capsys.readouterr().err
    assert orjson.loads(file.read_bytes()) == promised


def _strings(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for inner in value.values() for text in _strings(inner)]
    if isinstance(value, list):
        return [text for inner in value for text in _strings(inner)]
    return [value] if isinstance(value, str) else []
