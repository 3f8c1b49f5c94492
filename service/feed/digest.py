"""What a subscriber must have received, as one hash for each stretch of time.

What counts, and why so, stands in docs/feed.md: every transition's event, by its `timestamp`, as
the line `reference sequence state`; sorted as text, hashed with SHA-256. All of it stands in
the event itself, and nothing depends on when or in which order it arrived.
"""

import hashlib
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlmodel import Session

from service.errors import FieldError, InvalidInput, NoLongerKept
from service.feed.pages import ends_of
from service.store.inserts import table_of
from service.store.instants import rfc3339_of
from service.store.tables import Event, Invoice

BUCKETS_MAX = 1_000
BUCKETS_DEFAULT = 24
RANGE_MAX = timedelta(days=366)
# About a second of work; a busier unit asks for a shorter time at once (T43).
EVENTS_MAX = 100_000

# The resolution of an event's `timestamp`.
_TICK = timedelta(milliseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Bucket:
    """What was told from `start` until before `end`.

    All its events, and all of the later buckets, stand in the feed after the position `after`."""

    start: datetime
    end: datetime
    count: int
    hash: str
    after: int


def digest(
    session: Session, msn: str, *, start: datetime, end: datetime, buckets: int
) -> Sequence[Bucket]:
    """Return the buckets of this time, in order, without gaps.

    Both ends are whole milliseconds. Raises: InvalidInput, naming `from`, `to` or `buckets`;
    NoLongerKept, where some of it would be missing."""
    edges = _edges(start, end, buckets)
    ends = ends_of(session, msn)
    if ends.gone_until is not None and start <= ends.gone_until:
        raise NoLongerKept(
            "events of that time are no longer kept: take a `from` that is not before "
            f"{rfc3339_of(ends.gone_until + _TICK)}"
        )
    rows = session.execute(_told(msn, start, end)).all()
    if len(rows) > EVENTS_MAX:
        reason = f"is too late: there are more than {EVENTS_MAX} events; ask for less at once"
        raise InvalidInput(FieldError("to", reason))
    found: list[list[sa.Row[Any]]] = [[] for _ in range(buckets)]
    for row in rows:
        # Rounded down, as the event's own timestamp is.
        found[bisect_right(edges, (row.recorded_at - _EPOCH) // _TICK) - 1].append(row)
    # From the end: what is dated later can stand earlier, by the length of a transaction.
    after, later = ends.head, list[Bucket]()
    for number in reversed(range(buckets)):
        after = min([after, *(row.position - 1 for row in found[number])])
        later.append(_bucket(edges[number], edges[number + 1], found[number], after))
    return later[::-1]


def _edges(start: datetime, end: datetime, buckets: int) -> list[int]:
    """Return where the buckets begin and the last one ends, in milliseconds since 1970."""
    for name, at in (("from", start), ("to", end)):
        if at.microsecond % 1000:
            raise InvalidInput(FieldError(name, "is finer than a millisecond"))
    if end <= start:
        raise InvalidInput(FieldError("to", "is not after `from`"))
    if end - start > RANGE_MAX:
        raise InvalidInput(FieldError("to", f"is more than {RANGE_MAX.days} days after `from`"))
    first, ticks = (start - _EPOCH) // _TICK, (end - start) // _TICK
    if buckets > ticks:
        raise InvalidInput(FieldError("buckets", "are shorter than a millisecond"))
    return [first + ticks * number // buckets for number in range(buckets + 1)]


def _told(msn: str, start: datetime, end: datetime) -> sa.Select[Any]:
    event, invoice = table_of(Event), table_of(Invoice)
    return (
        sa.select(
            event.c.recorded_at,
            event.c.position,
            event.c.sequence,
            event.c.type,
            invoice.c.reference,
        )
        .join_from(event, invoice, event.c.invoice_id == invoice.c.id)
        .where(
            event.c.msn == msn,
            event.c.recorded_at >= start,
            event.c.recorded_at < end,
            # As text: only then is the partial index known to hold what is asked for.
            sa.text("event.is_transition"),
        )
        .limit(EVENTS_MAX + 1)
    )


def _bucket(start: int, end: int, rows: Sequence[sa.Row[Any]], after: int) -> Bucket:
    lines = sorted(f"{r.reference} {r.sequence} {r.type.removeprefix('invoice.')}\n" for r in rows)
    return Bucket(
        start=_EPOCH + start * _TICK,
        end=_EPOCH + end * _TICK,
        count=len(lines),
        hash=hashlib.sha256("".join(lines).encode()).hexdigest(),
        after=after,
    )
