"""The map is the table: every state has its place, every way its arrow."""

import itertools

from service.console.map import HEIGHT, WIDTH, Box, arrows, frames, place
from statemachine import RULES, State


def test_every_way_of_the_table_is_drawn() -> None:
    """What leads from one state to another is on the map, with its trigger."""
    drawn = {
        (start, arrow.end, trigger)
        for arrow in arrows()
        for start in arrow.starts
        for trigger in arrow.label.split(", ")
    }
    # Rules with one trigger and both ends the same are alternatives: one arrow.
    wanted = {
        (start, rule.to, rule.trigger.replace("_", " "))
        for rule in RULES
        for start in rule.from_
        if start is not None and start != rule.to
    }

    # Within a frame a state may be left for itself by no arrow of its own.
    assert drawn == wanted


def test_boxes_lie_apart_and_on_the_map() -> None:
    """No state hides another."""
    boxes = [place(state) for state in State]

    assert not [(a, b) for n, a in enumerate(boxes) for b in boxes[:n] if _overlap(a, b)]
    around = boxes + [frame.box for frame in frames()]
    assert all(b.x >= 0 and b.y >= 0 and b.right <= WIDTH and b.bottom <= HEIGHT for b in around)


def test_arrows_lie_apart() -> None:
    """Two ways are never drawn as one line."""
    lines = [(a.x1, a.y1, a.x2, a.y2) for a in arrows()]

    assert len(set(lines)) == len(lines)
    upright = [a for a in arrows() if a.is_upright]
    lanes = sorted((a.x1, min(a.y1, a.y2), max(a.y1, a.y2)) for a in upright)
    meeting = [
        (one, two) for one, two in itertools.pairwise(lanes) if one[0] == two[0] and one[2] > two[1]
    ]
    assert meeting == []


def _overlap(a: Box, b: Box) -> bool:
    return a.x < b.right and b.x < a.right and a.y < b.bottom and b.y < a.bottom
