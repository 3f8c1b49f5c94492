"""The merchant API over a real database, for every test of this folder."""

from collections.abc import AsyncIterator

import pytest

from service.store.db import Database
from tests.service.api.shop import Shop, open_shop


@pytest.fixture
async def shop(database: Database, anyio_backend: str) -> AsyncIterator[Shop]:
    """Give a service with two sales units, and a client with the first one's key."""
    async with open_shop(database) as opened:
        yield opened
