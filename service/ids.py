"""Names of our own things: a kind, an underscore, a ULID.

Ids sort by time of making, so that inserts stay at the right edge of their index
(performance notes, "Growth"); they are never used as an order of events.
"""

from ulid import ULID


def new_id(kind: str) -> str:
    """Return a fresh id such as `evt_01JD…`; 26 characters after the kind."""
    return f"{kind}_{ULID()}"
