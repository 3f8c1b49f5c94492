"""SIGTERM finishes what is in hand, says so by its exit code, and leaves the rest for later."""

import time

from tests.flows import checks
from tests.flows.kills import judge, rest
from tests.flows.load import Load
from tests.flows.stack import Stack

STOP_WITHIN_S = 10.0


def test_sigterm_under_load_ends_cleanly_and_loses_nothing(lonely: Stack) -> None:
    """I deploy in the middle of the day: every stop is clean, nothing is lost or doubled."""
    shop = lonely.subscribe()
    # A capture that is tried again after a minute would only have to be waited for.
    load = Load(lonely.api, lonely.phone, seed=1, bank_away=0.0)
    ends: list[tuple[int, float]] = []

    with load.at_work():
        for child in lonely.service * 2:
            load.wait_for_more(5)
            started = time.monotonic()
            ends.append((child.stop(within_s=60), time.monotonic() - started))
            child.start()
            child.wait_ready("/readyz")
    wrong = rest(lonely) + load.failures + judge(lonely, load, shop)

    assert [code for code, _ in ends] == [0] * len(ends)
    assert max(seconds for _, seconds in ends) < STOP_WITHIN_S
    assert b"Traceback" not in lonely.output()
    assert not wrong, wrong[:20]


def test_stopped_process_leaves_no_lease_behind(lonely: Stack) -> None:
    """After a clean stop nothing waits for a lease to end."""
    load = Load(lonely.api, lonely.phone, seed=2)

    with load.at_work():
        load.wait_for_more(5)
    for child in lonely.service:
        child.stop(within_s=60)

    with checks.open_books(lonely.database_url) as books:
        assert not books.rows("SELECT * FROM command WHERE status = 'running'")
        leased = "SELECT * FROM delivery WHERE status = 'pending' AND lease IS NOT NULL"
        assert not books.rows(leased)
