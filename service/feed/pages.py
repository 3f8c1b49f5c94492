"""A sales unit's feed from one place on: what every channel that is pulled shows (I8)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlmodel import Session, col

from service.errors import NoLongerKept
from service.outbox.event_types import EVERY_INVOICE, EVERYTHING
from service.store.tables import Event, Feed, LetGo
from service.vault import Vault

# A page with a filter walks at most so many events: one for a type that never occurs must not
# read a year of them (T43). The place moves on all the same.
WALK_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events are asked for: those after a position; no types means every type."""

    msn: str
    after: int
    limit: int
    types: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """One event: its place, and the stored bytes themselves, identical on every channel."""

    position: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Page:
    """Some events in the feed's order; the next page begins after `position`."""

    entries: Sequence[Entry]
    position: int
    head: int

    @property
    def is_last(self) -> bool:
        """Tell whether nothing more is there for now."""
        return self.position >= self.head


@dataclass(frozen=True, slots=True)
class Ends:
    """Where a feed begins and ends: the position before its first event, and that of its last.

    `gone_until` is the last instant of which an event is no longer kept."""

    start: int = 0
    head: int = 0
    gone_until: datetime | None = None


def ends_of(session: Session, msn: str) -> Ends:
    """Return where the feed begins and ends now."""
    row = session.execute(
        sa.select(sa.func.coalesce(col(LetGo.position), 0), col(Feed.position), col(LetGo.told_at))
        .outerjoin_from(Feed, LetGo, col(LetGo.msn) == col(Feed.msn))
        .where(col(Feed.msn) == msn)
    ).first()
    return Ends(*row) if row else Ends()


def require_kept(ends: Ends, after: int) -> None:
    """Refuse a place before the feed's beginning, from which events would be missing.

    Raises: NoLongerKept."""
    if after < ends.start:
        raise NoLongerKept(
            "events after this place are no longer kept: go on from `_first`, which is the first "
            "that is, and read the invoices that you may have missed"
        )


def read_page(session: Session, vault: Vault, wanted: Wanted) -> Page:
    """Return the next events; every one up to the page's position has been looked at.

    Raises: NoLongerKept."""
    # The head first: what is appended while we read comes with the next page.
    ends = ends_of(session, wanted.msn)
    require_kept(ends, wanted.after)
    head = ends.head
    until = min(head, wanted.after + WALK_MAX) if wanted.types else head
    rows = _rows(session, wanted, until)
    reached = rows[-1].position if len(rows) == wanted.limit else max(until, wanted.after)
    entries = [
        Entry(row.position, vault.open(row.payload, place=f"event:{row.id}:payload"))
        for row in rows
    ]
    return Page(entries, reached, head)


def _rows(session: Session, wanted: Wanted, until: int) -> Sequence[sa.Row[tuple[str, int, bytes]]]:
    feed = sa.select(col(Event.id), col(Event.position), col(Event.payload)).where(
        col(Event.msn) == wanted.msn,
        col(Event.position) > wanted.after,
        col(Event.position) <= until,
    )
    if wanted.types and EVERYTHING not in wanted.types:
        matching: list[sa.ColumnElement[bool]] = [col(Event.type).in_(wanted.types)]
        if EVERY_INVOICE in wanted.types:
            matching.append(col(Event.type).startswith("invoice.", autoescape=True))
        feed = feed.where(sa.or_(*matching))
    return session.execute(feed.order_by(col(Event.position)).limit(wanted.limit)).all()
