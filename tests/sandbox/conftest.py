"""The sandbox that most tests share, each as a sales unit of its own."""

from collections.abc import Iterator
from itertools import count

import pytest

from tests.browser import browser as browser
from tests.browser import context as context
from tests.browser import page as page
from tests.sandbox import conformance, harness, phones
from tests.sandbox import receiver as receivers

_MSNS = count(200_000)


@pytest.fixture(scope="package")
def shared_url() -> Iterator[str]:
    """Serve one sandbox for all tests that leave its clock and its chaos alone."""
    with harness.sandbox() as caller:
        yield str(caller.client.base_url)


@pytest.fixture
def merchant(shared_url: str) -> Iterator[harness.Merchant]:
    """Give a merchant with a sales unit that nobody used before."""
    with harness.merchant(shared_url) as caller:
        caller.msn = str(next(_MSNS))
        yield caller


@pytest.fixture
def lone_merchant() -> Iterator[harness.Merchant]:
    """Give a merchant at a sandbox of their own, whose clock may be turned."""
    with harness.sandbox() as caller:
        yield caller


@pytest.fixture
def receiver() -> Iterator[receivers.Receiver]:
    """Give an address for webhooks."""
    with receivers.receiver() as address:
        yield address


@pytest.fixture
def openapi() -> None:
    """Skip loudly where Vipps's OpenAPI files are not at hand."""
    if conformance.folder() is None:
        pytest.skip(conformance.HOW_TO_GET_THEM)


@pytest.fixture(scope="package")
def shop_url() -> Iterator[str]:
    """Serve a merchant's own pages."""
    with phones.shop() as url:
        yield url


@pytest.fixture
def customer(merchant: harness.Merchant) -> phones.Customer:
    """Give somebody with a phone, and a merchant of their own."""
    return phones.a_customer(merchant)


@pytest.fixture
def lone_customer(lone_merchant: harness.Merchant) -> phones.Customer:
    """Give somebody with a phone at a sandbox whose clock may be turned."""
    return phones.a_customer(lone_merchant)
