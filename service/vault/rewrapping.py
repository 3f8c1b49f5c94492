"""Wrapping every key anew under the newest master key: in batches, beside a running service."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlmodel import Session

from service.store.db import Database
from service.store.inserts import table_of
from service.store.tables import Customer, DataKey
from service.vault.box import Box

# A commit of some milliseconds: nobody waits for it.
AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class _Kind:
    """Where wrapped keys of one kind stand."""

    key: sa.Column[str]
    wrapped: sa.Column[bytes]


_data, _customer = table_of(DataKey).c, table_of(Customer).c
_OF_DATA = _Kind(_data.purpose, _data.wrapped)
_OF_CUSTOMERS = _Kind(_customer.id, _customer.wrapped_key)


def rewrap(
    database: Database, master_keys: Sequence[bytes], *, at_once: int = AT_ONCE
) -> Iterator[int]:
    """Wrap under the first master key what an older one has wrapped; yield how many, by batch.

    Each batch is a commit of its own: whoever is killed begins again, and finds done what was
    done. A person who is erased meanwhile stays erased. What was sealed by the keys themselves is
    not touched. Raises: SealBroken, where none of the master keys opens a key; DatabaseAway."""
    boxes = Box(master_keys), Box(master_keys[:1])
    with database.transaction() as session:
        rows = session.execute(sa.select(_OF_DATA.key, _OF_DATA.wrapped))
        count = _rewrap(session, _OF_DATA, {p: bytes(w) for p, w in rows}, boxes)
    yield count
    last = ""
    while True:
        with database.transaction() as session:
            found = _customers(session, after=last, limit=at_once)
            if not found:
                return
            count = _rewrap(session, _OF_CUSTOMERS, found, boxes)
            last = max(found)
        yield count


def _customers(session: Session, *, after: str, limit: int) -> dict[str, bytes]:
    key, wrapped = _OF_CUSTOMERS.key, _OF_CUSTOMERS.wrapped
    living = sa.select(key, wrapped).where(key > after, wrapped.is_not(None))
    found = session.execute(living.order_by(key).limit(limit))
    return {key: bytes(wrapped) for key, wrapped in found}


def _rewrap(
    session: Session, kind: _Kind, wrapped: dict[str, bytes], boxes: tuple[Box, Box]
) -> int:
    """Wrap the keys of these rows anew; those that the newest has wrapped stay as they are."""
    every, newest = boxes
    count = 0
    for key, old in wrapped.items():
        if newest.can_open(old):
            continue
        place = f"{kind.key.table.name}:{key}:{kind.wrapped.name}"
        new = newest.seal(every.open(old, place=place), place=place)
        # Only what was read: an erasure in between must not be undone.
        change = sa.update(kind.key.table).where(kind.key == key, kind.wrapped == old)
        done = session.execute(change.values({kind.wrapped: new}).returning(kind.key))
        count += len(done.all())
    return count
