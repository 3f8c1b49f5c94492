"""The version before and this one serve side by side, under load, on one database.

The version before is the code of an earlier commit, on the schema that it made.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.flows import checks
from tests.flows.former import (
    NO_HISTORY,
    as_former,
    as_today,
    former_code,
    former_commit,
    newest_revision,
)
from tests.flows.kills import judge, rest
from tests.flows.load import Load
from tests.flows.processes import Child
from tests.flows.stack import Stack, running, service_child


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Unpack the version before."""
    commit = former_commit()
    if commit is None:
        pytest.skip(NO_HISTORY)
    return former_code(commit, tmp_path_factory.mktemp("former"))


@contextmanager
def under_load(stack: Stack) -> Iterator[Load]:
    """Work beside the block; afterwards everybody tells one story, and every process was well."""
    shop = stack.subscribe()
    load = Load(stack.api, stack.phone, seed=21, bank_away=0.0)
    with load.at_work():
        load.wait_for_more(5)
        yield load
    wrong = rest(stack) + load.failures + judge(stack, load, shop)

    assert not wrong, wrong[:20]
    assert b"Traceback" not in stack.output()


def revision(stack: Stack) -> str:
    """Return which schema the database has."""
    with checks.open_books(stack.database_url) as books:
        return str(books.rows("SELECT version_num FROM alembic_version")[0]["version_num"])


def take_over(stack: Stack, child: Child) -> None:
    """Stop the process in that place and start another one there, as in a rolling restart."""
    (place,) = [n for n, one in enumerate(stack.service) if one.name == child.name]
    assert stack.service[place].stop() == 0
    stack.service[place] = child
    child.start()
    child.wait_ready("/readyz")


def test_rolling_upgrade_and_the_way_back_lose_nothing(
    empty_postgres_url: str, code: Path, tmp_path: Path
) -> None:
    """I migrate while the old version serves, replace one process after the other, and go back."""
    former = partial(as_former, code=code)
    with running(tmp_path, empty_postgres_url, processes=2, of_version=former) as stack:
        old = list(stack.service)
        new = [as_today(child) for child in old]
        before = revision(stack)
        with under_load(stack) as load:
            stack.run("migrate")
            after = revision(stack)
            load.wait_for_more(3)
            for child in (*new, old[0]):
                take_over(stack, child)
                load.wait_for_more(3)

    assert before < after == newest_revision()


def test_new_version_beside_the_old_one_on_sqlite_loses_nothing(code: Path, tmp_path: Path) -> None:
    """The new version migrates by itself while the old one serves, and takes over from it."""
    former = partial(as_former, code=code)
    url = f"sqlite:///{tmp_path / 'betalbar.db'}"
    with running(tmp_path, url, of_version=former) as stack:
        (old,) = stack.service
        before = revision(stack)
        new = service_child(stack.environment, tmp_path, 1)
        stack.service.append(new)
        with under_load(stack) as load:
            new.start()
            new.wait_ready("/readyz")
            stack.front.backends = [old.url, new.url]
            load.wait_for_more(5)
            assert old.stop() == 0
            load.wait_for_more(3)

    assert before < revision(stack) == newest_revision()
