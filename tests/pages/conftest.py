"""One service for the stories that leave its clock alone, one each for those that turn it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser import browser as browser
from tests.browser import context as context
from tests.browser import page as page
from tests.pages.living import Living, living


@pytest.fixture(scope="package")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Living]:
    """Serve a merchant's invoices."""
    with living(tmp_path_factory.mktemp("pages")) as served:
        yield served


@pytest.fixture
def lone_shop(tmp_path: Path) -> Iterator[Living]:
    """Serve a merchant's invoices, with a clock that may be turned."""
    with living(tmp_path) as served:
        yield served
