"""One service for all tests of the contracts, over real HTTP, with the built-in sandbox."""

from collections.abc import Iterator

import pytest

from tests.browser import browser as browser
from tests.browser import context as context
from tests.browser import page as page
from tests.service.cli.test_serving import Served, served


@pytest.fixture(scope="package")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Serve."""
    with served(tmp_path_factory.mktemp("contracts")) as one:
        yield one
