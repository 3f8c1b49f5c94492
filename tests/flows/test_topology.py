"""All of compose.yaml without its containers: what is killed or replaced under load is not missed.

Vipps, merchants and readers come through a real nginx with the configuration that is delivered.
"""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.flows import checks
from tests.flows.kills import judge, rest
from tests.flows.load import Load
from tests.flows.processes import eventually
from tests.flows.stack import Shop
from tests.flows.topology import UP_WITHIN_S, Topology, topology
from tests.nginx import BINARY, MISSING

# More often would measure the machine, not the proxy.
READ_EVERY_S = 0.05

pytestmark = pytest.mark.skipif(BINARY is None, reason=MISSING)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Topology, Shop]]:
    """Run it once, with a merchant that is told everything."""
    with topology(tmp_path_factory.mktemp("topology")) as made:
        yield made, made.subscribe()


@contextmanager
def under_load(running: tuple[Topology, Shop], *, seed: int) -> Iterator[Load]:
    """Work beside the block; afterwards everybody tells one story, and no reader was refused."""
    made, shop = running
    # A capture that is tried again after a minute would only have to be waited for.
    load = Load(made.api, made.phone, seed, bank_away=0.0)
    with load.at_work(), reading(made) as answers:
        yield load
    wrong = rest(made) + load.failures + judge(made, load, shop)

    assert not wrong, wrong[:20]
    assert set(answers) == {200}, answers
    assert b"Traceback" not in made.output()


@contextmanager
def reading(made: Topology) -> Iterator[Counter[int]]:
    """Read beside the block, again and again, and count what is answered."""
    answers: Counter[int] = Counter()
    stop = threading.Event()

    def read() -> None:
        headers = {"Authorization": f"Bearer {made.api.key}"}
        while not stop.is_set():
            found = made.proxy.client.get(f"{made.proxy.url}/v1/invoices?limit=1", headers=headers)
            answers[found.status_code] += 1
            stop.wait(READ_EVERY_S)

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield answers
    finally:
        stop.set()
        thread.join()


def test_replica_that_is_killed_under_load_is_not_missed(
    running: tuple[Topology, Shop],
) -> None:
    """A machine dies: nothing that was acknowledged is lost, and readers notice nothing."""
    with under_load(running, seed=11) as load:
        for replica in running[0].replicas:
            load.wait_for_more(3)
            replica.kill()
            load.wait_for_more(3)
            replica.start()
            replica.wait_ready("/readyz", within_s=UP_WITHIN_S)


def test_rolling_restart_under_load_is_not_noticed(running: tuple[Topology, Shop]) -> None:
    """I deploy at noon, one process after the other: each ends cleanly, nothing is lost."""
    made, _ = running
    with under_load(running, seed=12) as load:
        for child in made.service:
            load.wait_for_more(3)
            assert child.stop() == 0
            child.start()
            child.wait_ready("/readyz", within_s=UP_WITHIN_S)


def test_proxy_that_is_reloaded_under_load_refuses_nobody(
    running: tuple[Topology, Shop],
) -> None:
    """A new certificate is loaded: what is on its way is finished by the workers of before."""
    made, _ = running
    with under_load(running, seed=13) as load:
        for _ in range(3):
            load.wait_for_more(3)
            made.proxy.reload()


def test_broker_has_got_the_whole_feed(running: tuple[Topology, Shop]) -> None:
    """Whatever happened above, what NATS holds is the feed, in its order."""
    made, _ = running
    with checks.open_books(made.database_url) as books:
        feed = [row["id"] for row in books.rows("SELECT id FROM event ORDER BY position")]

    assert feed
    eventually(lambda: made.broker.ids() == feed, what="published")
