"""A broker, and a ledger whose feed is published to it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.store.db import Database
from tests.nats_server import NatsServer
from tests.service.broker.press import Press, a_press


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[NatsServer]:
    """Run a broker with JetStream."""
    server = NatsServer(tmp_path / "nats")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def press(database: Database, broker: NatsServer) -> Press:
    """Return a service whose events go to that broker, not publishing yet."""
    return a_press(database, broker.url)
