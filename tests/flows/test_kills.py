"""Thirty kills under load on each database lose nothing and double nothing (I12)."""

from random import SystemRandom

from tests.flows.kills import torture
from tests.flows.stack import Stack

KILLS = 30


def test_kills_at_random_instants_lose_and_double_nothing(lonely: Stack) -> None:
    """However often the service dies, my money moves once and I am told everything."""
    seed = SystemRandom().randrange(10**6)

    wrong = torture(lonely, kills=KILLS, seed=seed)

    assert not wrong, (f"seed {seed}", wrong[:20])
    assert b"Traceback" not in lonely.output()
