"""Whatever is asked along the document, the service answers as the document says, and never 500."""

from pathlib import Path

from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from service.api.contract.openapi import served_openapi
from tests.flows.processes import Served
from tests.fuzz.stories import Told, tell_stories
from tests.service.cli.test_serving import served

_SEEDS = (1, 2)


def test_stories_of_requests_are_answered_as_documented(tmp_path: Path) -> None:
    """T41: nothing that I send beside the document makes an error of yours; more by `make fuzz`."""
    told = Told()

    with served(tmp_path) as service:
        for seed in _SEEDS:
            tell_stories(service.url, service.key, told, seed=seed)

    assert told.wrong == []
    assert told.stories >= 10
    # Three invoices in four can be paid, so the stories get beyond what is checked first.
    assert {"POST /v1/invoices", "POST /v1/customers", "POST /v1/subscriptions"} <= told.done
    assert any(operation.startswith("POST /v1/invoices/") for operation in told.done)


def test_stories_notice_an_error_of_ours() -> None:
    """The oracle can fail."""
    told = Told()
    service = Served(_failing)
    service.start()

    try:
        tell_stories(service.url, "any-key", told, seed=1)
    finally:
        service.stop()

    assert told.wrong != []


async def _failing(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve our document, and answer everything else with 500."""
    is_document = scope["path"] == "/openapi.json"
    host = dict(scope["headers"])[b"host"].decode()
    body = served_openapi(f"http://{host}") if is_document else {}
    await JSONResponse(body, 200 if is_document else 500)(scope, receive, send)
