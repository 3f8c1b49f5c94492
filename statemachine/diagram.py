"""The table drawn for people (Mermaid) and for programs (JSON)."""

from collections import defaultdict
from collections.abc import Iterator, Mapping

from statemachine.table import RULES, TERMINAL_STATES, State, Trigger

# Mermaid's sign for the place before the first state and after the last one.
_OUTSIDE = "[*]"


def mermaid() -> str:
    """Return the table as a Mermaid `stateDiagram-v2`, the same text every time.

    Triggers that share both ends share one arrow. A state that no rule leads out of ends in [*].
    """
    arrows = (f"{start} --> {end}: {', '.join(names)}" for (start, end), names in _arrows().items())
    ends = (f"{state} --> {_OUTSIDE}" for state in State if state in TERMINAL_STATES)
    return "\n    ".join(("stateDiagram-v2", *arrows, *ends)) + "\n"


def as_json() -> dict[str, object]:
    """Return the machine as `GET /v1/machine` answers it, ready for JSON."""
    return {
        "states": [
            {"name": state.value, "payable": state.is_payable, "meaning": state.meaning}
            for state in State
        ],
        "transitions": list(_transitions()),
        "mermaid": mermaid(),
    }


def _arrows() -> Mapping[tuple[str, State], list[Trigger]]:
    """Gather the triggers of each pair of ends, in the table's order."""
    arrows = defaultdict(list)
    for rule in RULES:
        for start in rule.from_:
            arrows[start or _OUTSIDE, rule.to].append(rule.trigger)
    return arrows


def _transitions() -> Iterator[dict[str, str | None]]:
    for rule in RULES:
        for start in rule.from_:
            yield {
                "trigger": rule.trigger.value,
                "from": start.value if start else None,
                "to": rule.to.value,
                "guard": rule.guard.sentence if rule.guard else None,
            }
