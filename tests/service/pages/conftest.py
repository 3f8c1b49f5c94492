"""A visitor for every test of this folder."""

from collections.abc import AsyncIterator

import pytest

from service.store.db import Database
from tests.service.pages.visiting import Visitor, visiting


@pytest.fixture
async def visitor(database: Database, anyio_backend: str) -> AsyncIterator[Visitor]:
    """Give somebody who may open invoice pages."""
    async with visiting(database) as opened:
        yield opened
