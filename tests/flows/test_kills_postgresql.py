"""Thirty kills under load on PostgreSQL, with two processes, lose and double nothing (I12)."""

from random import SystemRandom

import pytest

from tests.flows.kills import KILLS, torture
from tests.flows.pause import pass_a_minute
from tests.flows.stack import Stack


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_kills_of_two_processes_at_random_instants_lose_and_double_nothing(lonely: Stack) -> None:
    """Whichever process dies, and however often, my money moves once and I am told everything."""
    seed = SystemRandom().randrange(10**6)

    wrong = torture(lonely, kills=KILLS, seed=seed, before_rest=pass_a_minute)

    assert not wrong, (f"seed {seed}", wrong[:20])
    assert b"Traceback" not in lonely.output()
