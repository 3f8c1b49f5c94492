"""The checker itself: each damage to the books must be named, or its silence proves nothing."""

import sqlite3
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from tests.flows import checks
from tests.flows.client import a_name
from tests.flows.kills import judge, rest
from tests.flows.load import Load
from tests.flows.stack import Shop, Stack

DAMAGE = (
    "DELETE FROM invoice",
    "UPDATE invoice SET state = 'captured'",
    "UPDATE invoice SET authorized_minor = 0",
    "UPDATE transition SET amount_minor = 1 WHERE sequence = 2",
    "UPDATE transition SET to_state = 'captured' WHERE sequence = 3",
    "DELETE FROM transition WHERE sequence = 2",
    "DELETE FROM event WHERE sequence = 2",
    "UPDATE event SET is_transition = 0 WHERE sequence = 3",
    "UPDATE event SET id = id || 'x' WHERE sequence = 3",
    "UPDATE event SET position = 10 - position",
    "UPDATE fanout SET position = 1",
    "DELETE FROM vipps_event",
    "CREATE TABLE twin AS SELECT * FROM vipps_event WHERE outcome = 'applied';"
    "UPDATE twin SET id = id || 'x'; INSERT INTO vipps_event SELECT * FROM twin",
    "UPDATE command SET idempotency_key = id || 'x'",
    "UPDATE command SET status = 'running'",
    "UPDATE delivery SET status = 'pending'",
    "DELETE FROM act",
)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_each_damage_to_the_books_is_named(lonely: Stack, tmp_path: Path) -> None:
    """A row that is changed, missing or moved is found, whichever it is."""
    name, shop, load = a_name("whole"), lonely.subscribe(), Load(lonely.api, lonely.phone, 1)
    lonely.api.create(name, wait_s=10)
    lonely.phone.approve(name)
    lonely.api.reaches(name, "authorized")
    load.invoices.append(name)
    load.acts = Counter({(name, "create"): 1})
    assert rest(lonely) + found(lonely, load, shop) == []

    copies = [_damaged(lonely, sql, tmp_path / f"{n}.db") for n, sql in enumerate(DAMAGE)]
    silent = [sql for sql, copy in zip(DAMAGE, copies, strict=True) if not found(copy, load, shop)]

    assert silent == []


def found(stack: Stack, load: Load, shop: Shop) -> list[str]:
    """Return everything that any check says."""
    with checks.open_books(stack.database_url) as books:
        return judge(stack, load, shop) + checks.unfinished(books)


def _damaged(stack: Stack, damage: str, copy: Path) -> Stack:
    """Return the stack with a copy of its books in which one thing is not as it was."""
    file = stack.database_url.removeprefix("sqlite:///")
    with sqlite3.connect(file) as whole, sqlite3.connect(copy) as damaged:
        whole.backup(damaged)
        named = "SELECT name FROM sqlite_master WHERE type = 'index' AND name LIKE 'uq_%'"
        for (index,) in damaged.execute(named).fetchall():
            damaged.execute(f"DROP INDEX {index}")
        damaged.executescript(damage)
    return replace(stack, database_url=f"sqlite:///{copy}")
