"""What happened is in the broker, once and in order, whatever is killed when."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.flows.client import a_name
from tests.flows.processes import eventually
from tests.flows.stack import Stack, running
from tests.nats_server import NatsServer


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[NatsServer]:
    """Run a broker."""
    server = NatsServer(tmp_path / "nats")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def lonely(tmp_path: Path, database_url: str, broker: NatsServer) -> Iterator[Stack]:
    """Run a stack of its own, which publishes; as many processes as may be."""
    processes = 1 if database_url.startswith("sqlite") else 2
    with running(
        tmp_path, database_url, processes=processes, BETALBAR_BROKER_URL=broker.url
    ) as made:
        yield made


def test_killed_service_and_broker_lose_nothing_and_double_nothing(
    lonely: Stack, broker: NatsServer
) -> None:
    """SIGKILL of each in turn while invoices are made: the stream is the feed."""
    for turn in range(6):
        for _ in range(5):
            lonely.api.create(a_name("broker"))
        if turn == 2:
            broker.kill()
        if turn == 3:
            broker.start()
        for child in lonely.service:
            child.kill()
            child.start()
            child.wait_ready("/readyz")
    feed = [event["id"] for event in lonely.api.feed()]

    # The lease of a process that was killed while it published ends by its time.
    def all_published() -> bool:
        found = broker.ids()
        assert len(found) >= len(feed), (len(found), len(feed))
        return True

    eventually(all_published, within_s=90, what="published")
    assert broker.ids()[: len(feed)] == feed
