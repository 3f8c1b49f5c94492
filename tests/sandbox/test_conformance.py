"""The OpenAPI files are really looked at."""

from pathlib import Path

import httpx
import pytest

from tests.sandbox import conformance
from tests.sandbox.harness import Merchant, a_payment


@pytest.mark.usefixtures("openapi")
def test_answer_that_differs_from_the_spec_is_noticed() -> None:
    """If the sandbox said something Vipps would not, the tests would fail."""
    request = httpx.Request("GET", "http://x/epayment/v1/payments/invoice-0001")
    answer = httpx.Response(200, json={"state": "PAID"}, request=request)

    with pytest.raises(AssertionError, match="PAID"):
        conformance.check_answer(answer)


@pytest.mark.usefixtures("openapi")
def test_webhook_that_differs_from_the_spec_is_noticed() -> None:
    """The same goes for webhooks."""
    with pytest.raises(AssertionError, match="pspReference"):
        conformance.check_webhook({"msn": "123456"})


@pytest.mark.usefixtures("openapi")
def test_every_path_of_the_sandbox_is_in_a_spec(merchant: Merchant) -> None:
    """An answer on a path that no spec has would fail the tests as well."""
    answer = merchant.create(a_payment())
    stray = httpx.Response(200, request=httpx.Request("GET", "http://x/epayment/v1/stray"))

    assert answer.status_code == 201
    with pytest.raises(AssertionError, match="stray"):
        conformance.check_answer(stray)


def test_sandbox_uses_nothing_of_the_service() -> None:
    """From our own code the sandbox takes only itself and the pure signature functions."""
    folder = Path(__file__).parents[2] / "service" / "sandbox"
    lines = [line for file in folder.glob("*.py") for line in file.read_text().splitlines()]

    own = {line.split()[1] for line in lines if line.startswith(("from service", "from webhooks"))}

    assert lines
    assert {name for name in own if not name.startswith("service.sandbox")} == {"webhooks"}
    assert not [line for line in lines if line.startswith(("import service", "import webhooks"))]
