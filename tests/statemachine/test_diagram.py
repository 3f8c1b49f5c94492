"""The table as Mermaid and as JSON."""

import json

from statemachine import State, as_json, mermaid
from tests.statemachine.contract import CONTRACT


def test_mermaid_draws_every_line_of_the_table_once() -> None:
    """The picture in the documents shows the machine that runs."""
    lines = [line.strip() for line in mermaid().splitlines()]
    drawn = {
        (trigger, None if start == "[*]" else start, end)
        for line in lines[1:]
        if ": " in line
        for start, end in [line.split(": ")[0].split(" --> ")]
        for trigger in line.split(": ")[1].split(", ")
    }

    assert lines[0] == "stateDiagram-v2"
    assert lines[1] == "[*] --> created: create"
    assert len(lines) == len(set(lines))
    assert drawn == {(name, start, end) for (name, start), ends in CONTRACT.items() for end in ends}


def test_mermaid_ends_where_nothing_follows() -> None:
    """A reader sees which states are final."""
    lines = [line.strip() for line in mermaid().splitlines()]

    assert lines[-3:] == ["refunded --> [*]", "cancelled --> [*]", "terminated --> [*]"]
    assert sum(line.endswith("[*]") for line in lines) == 3


def test_mermaid_is_the_same_text_every_time() -> None:
    """The README can hold it, and a test can compare."""
    assert mermaid() == mermaid()
    assert mermaid().endswith("\n")


def test_as_json_has_one_entry_for_each_state_a_line_leads_from() -> None:
    """`GET /v1/machine` gives a program all that the table has."""
    machine = json.loads(json.dumps(as_json()))

    assert list(machine) == ["states", "transitions", "mermaid"]
    assert [state["name"] for state in machine["states"]] == [state.value for state in State]
    assert machine["states"][0] == {
        "name": "created",
        "payable": True,
        "meaning": "stored by us; no live payment at Vipps for certain",
    }
    assert machine["transitions"][0] == {
        "trigger": "create",
        "from": None,
        "to": "created",
        "guard": None,
    }
    assert {
        "trigger": "capture",
        "from": "captured",
        "to": "captured",
        "guard": "captured + cancelled <= authorized",
    } in machine["transitions"]
    assert len(machine["transitions"]) == sum(len(ends) for ends in CONTRACT.values())
    assert machine["mermaid"] == mermaid()
