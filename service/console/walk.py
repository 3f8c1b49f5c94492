"""An invoice's way through the machine: each step with the stored fact behind it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.console import map as state_map

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Step:
    """One transition: what Vipps reported, or what was asked of it, and what was told of it."""

    row: Row
    report: Row | None
    command: Row | None
    events: Sequence[Row]


def steps(evidence: Row) -> list[Step]:
    """Return the transitions in their order."""
    reports = {row["id"]: row for row in evidence["vippsEvents"]}
    commands = {row["id"]: row for row in evidence["commands"]}
    told: dict[int, list[Row]] = {}
    for event in evidence["events"]:
        told.setdefault(event["sequence"], []).append(event)
    return [
        Step(
            row,
            reports.get(row["evidence_id"]),
            commands.get(row["evidence_id"]),
            told.get(row["sequence"], []),
        )
        for row in evidence["transitions"]
    ]


def other_reports(evidence: Row) -> list[Row]:
    """Return what Vipps reported that moved nothing: doubles, late ones, contradictions."""
    moved = {row["evidence_id"] for row in evidence["transitions"]}
    return [row for row in evidence["vippsEvents"] if row["id"] not in moved]


def walked_arrows(transitions: Sequence[Row]) -> list[tuple[state_map.Arrow, bool, str]]:
    """Return every arrow of the map, whether it was walked, and nothing to stand beside it."""
    ways = {(row["from_state"], row["to_state"]) for row in transitions}
    return [
        (arrow, any((start, arrow.end) in ways for start in arrow.starts), "")
        for arrow in state_map.arrows()
    ]


def tries(evidence: Row) -> list[Row]:
    """Return each try of each delivery, newest first, with the type of what was sent."""
    types = {event["id"]: event["type"] for event in evidence["events"]}
    tried = [{**row, "type": types.get(row["event_id"], "")} for row in evidence["deliveries"]]
    return sorted(tried, key=lambda row: str(row["at"]), reverse=True)
