"""All that is kept for a time only, and for how long: one row for each kind."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import sqlalchemy as sa

from service.context import Context
from service.keeping.archive import Archive, FolderArchive, NoArchive
from service.keeping.bodies import forget_bodies
from service.keeping.deliveries import forget_deliveries
from service.keeping.events import SecondLook, move_beginning
from service.keeping.pieces import AT_ONCE, Piece
from service.store.forgetting import forget_older
from service.store.inserts import table_of
from service.store.tables import Attempt, StaffSession, StoredAnswer

# The contract's own: so long the same Idempotency-Key gets the same answer (section 6).
ANSWERS_KEPT_DAYS = 30

# Lets go of a piece of what is older than this, once it is archived.
Forget = Callable[[Context, Archive, timedelta], Piece]


@dataclass(frozen=True, slots=True)
class Kept:
    """One thing that is kept for a time, and what lets go of a piece of it.

    `look_again` goes through what was passed over before, and is in no hurry."""

    name: str
    kept_for: timedelta
    forget: Forget
    look_again: Forget | None = None


def what_is_kept(context: Context) -> tuple[Kept, ...]:
    """Return all that is let go of, and after which time; not what is kept for good.

    Invoices, transitions, and what Vipps's events said and came to, are never among it: they are
    the books."""
    settings = context.settings
    always = (
        Kept(
            "attempts of deliveries",
            _days(settings.attempts_kept_days),
            _older(table_of(Attempt).c.at),
        ),
        Kept(
            "answers to an Idempotency-Key",
            _days(ANSWERS_KEPT_DAYS),
            _older(table_of(StoredAnswer).c.created_at),
        ),
        Kept("ended sessions", _days(0), _older(table_of(StaffSession).c.ends_at)),
    )
    by_wish = (
        Kept("ended deliveries", _days(settings.deliveries_kept_days), forget_deliveries),
        Kept("bodies of Vipps's events", _days(settings.bodies_kept_days), forget_bodies),
        Kept("events of the feed", _days(settings.events_kept_days), move_beginning, SecondLook()),
    )
    return (*always, *(kept for kept in by_wish if kept.kept_for))


def archive_of(context: Context) -> Archive:
    """Return where rows are written before they are deleted."""
    folder = context.settings.archive_folder
    return FolderArchive(Path(folder), context.clock) if folder else NoArchive()


def _days(number: int) -> timedelta:
    return timedelta(days=number)


def _older(at: sa.Column[datetime]) -> Forget:
    """Return what deletes by age alone: what no archive is asked for."""

    def forget(context: Context, _archive: Archive, kept_for: timedelta) -> Piece:
        before = context.clock.now() - kept_for
        with context.database.transaction() as session:
            count = forget_older(session, at, before=before, limit=AT_ONCE)
        return Piece(count, has_more=count == AT_ONCE)

    return forget
