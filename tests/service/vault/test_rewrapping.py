"""Master keys are changed beside a running service, and whoever is killed goes on."""

from itertools import islice

import sqlalchemy as sa
from sqlmodel import col

from service.ledger.book import write
from service.ledger.people import add_customer, box_of
from service.store.db import Database
from service.store.tables import Customer, DataKey
from service.vault import open_vault, rewrap
from service.vault.box import Box
from tests.builders import MSN, NOW, a_context

OLD, NEW = b"k" * 32, b"n" * 32
PEOPLE = 5


def a_crowd(database: Database) -> list[str]:
    """Make customers under the old master key, and return their ids."""
    context = a_context(database)
    numbers = [f"47{90_000_000 + n}" for n in range(PEOPLE)]
    return write(
        context, lambda book: [add_customer(book, MSN, n, consent=None).id for n in numbers]
    )


def left_under(database: Database, key: bytes) -> int:
    """Return how many stored keys only this master key opens."""
    box = Box([key])
    with database.snapshot() as session:
        stored = [*session.scalars(sa.select(col(DataKey.wrapped)))]
        stored += session.scalars(
            sa.select(col(Customer.wrapped_key)).where(col(Customer.wrapped_key).is_not(None))
        )
    return sum(box.can_open(bytes(each)) for each in stored)


def test_rewrap_leaves_nothing_under_the_old_key(database: Database) -> None:
    """The old key can be thrown away, and everybody is still readable."""
    people = a_crowd(database)
    with database.transaction() as session:
        sealed = open_vault(session, [OLD], now=NOW).seal(b"x", place="a")

    count = sum(rewrap(database, [NEW, OLD], at_once=2))

    with database.transaction() as session:
        vault = open_vault(session, [NEW], now=NOW)
        assert vault.open(sealed, place="a") == b"x"
        boxes = [box_of(session.get_one(Customer, key), vault) for key in people]
    assert all(boxes)
    assert (left_under(database, OLD), left_under(database, NEW)) == (0, count)


def test_rewrap_that_was_stopped_goes_on_where_it_was(database: Database) -> None:
    """Killed in between (K14): every key opens with one of the two, and nothing is done twice."""
    a_crowd(database)
    before = left_under(database, OLD)

    first = sum(islice(rewrap(database, [NEW, OLD], at_once=2), 2))
    between = left_under(database, OLD), left_under(database, NEW)
    second = sum(rewrap(database, [NEW, OLD], at_once=2))

    assert between == (before - first, first)
    assert (first + second, sum(rewrap(database, [NEW, OLD]))) == (before, 0)


def test_rewrap_does_not_bring_back_who_was_erased_meanwhile(database: Database) -> None:
    """An erasure wins, whichever commits first."""
    people = a_crowd(database)
    batches = rewrap(database, [NEW, OLD], at_once=2)
    next(batches)
    with database.transaction() as session:
        for key in people:
            session.get_one(Customer, key).wrapped_key = None

    assert sum(batches) == 0
    with database.snapshot() as session:
        assert set(session.scalars(sa.select(col(Customer.wrapped_key)))) == {None}
