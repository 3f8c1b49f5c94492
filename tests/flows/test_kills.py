"""Thirty kills under load on SQLite, with one process, lose and double nothing (I12)."""

from random import SystemRandom

import pytest

from tests.flows.kills import KILLS, torture
from tests.flows.pause import pass_a_minute
from tests.flows.stack import Stack


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_kills_at_random_instants_lose_and_double_nothing(lonely: Stack) -> None:
    """However often the service dies, my money moves once and I am told everything."""
    seed = SystemRandom().randrange(10**6)

    wrong = torture(lonely, kills=KILLS, seed=seed, before_rest=pass_a_minute)

    assert not wrong, (f"seed {seed}", wrong[:20])
    assert b"Traceback" not in lonely.output()
