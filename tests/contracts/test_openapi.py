"""`/openapi.json`: valid, complete, and of one truth with the routes."""

import json
from pathlib import Path

import httpx
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from starlette.routing import BaseRoute, Mount, Route

from service.api.contract.openapi import openapi
from service.api.contract.reference import pages
from service.api.contract.remedies import EXPLAINED
from service.app import create_app
from service.events.schemas import event_schema
from service.outbox.event_types import EVENT_TYPES
from service.settings import load_settings
from tests.api_contract import NotAsDocumented, check_answer

DOCS = Path(__file__).parents[2] / "docs"

# What is for Vipps and for people, and no contract with a merchant's system.
NOT_THE_API = (
    "/webhooks/vipps/{msn}",
    "/console",
    "/i/",
    "/docs/assets/{name}",
)


def test_document_is_valid_openapi_3_1() -> None:
    """Any tool for OpenAPI can read it."""
    errors = list(OpenAPIV31SpecValidator(openapi()).iter_errors())

    assert errors == []


def test_every_operation_under_v1_asks_for_a_key() -> None:
    """A tool that I give my key to sends it where it is needed."""
    document = openapi()
    open_ones = {
        path
        for path, methods in document["paths"].items()
        for described in methods.values()
        if isinstance(described, dict) and "security" in described
    }

    assert document["security"] == [{"apiKey": []}]
    assert not [path for path in open_ones if path.startswith("/v1")]


def test_document_has_every_route_that_is_served_and_no_other(tmp_path: Path) -> None:
    """I never find an address that is not described, nor a description of nothing."""
    app = create_app(
        load_settings(
            {
                "BETALBAR_DATABASE_URL": f"sqlite:///{tmp_path / 'betalbar.db'}",
                "BETALBAR_VIPPS_URL": "http://127.0.0.1:1",
            }
        )
    )
    app.state.context.database.dispose()

    served = {one for route in app.routes for one in _operations(route)}

    described = {
        (path, method.upper())
        for path, methods in openapi()["paths"].items()
        for method in methods
        if method != "parameters"
    }
    assert served == described


def _operations(route: BaseRoute) -> set[tuple[str, str]]:
    assert not isinstance(route, Mount)
    assert isinstance(route, Route)
    if route.path.startswith(NOT_THE_API):
        return set()
    return {(route.path, method) for method in (route.methods or ()) if method != "HEAD"}


def test_links_lead_from_what_is_made_to_what_can_be_done_with_it() -> None:
    """A tool that made an invoice for me knows every address that takes its reference."""
    document = openapi()
    made = document["paths"]["/v1/invoices"]["post"]["responses"]["201"]["links"]
    under = [
        described["operationId"]
        for path, methods in document["paths"].items()
        if path.startswith("/v1/invoices/{reference}")
        for method, described in methods.items()
        if method != "parameters"
    ]

    assert sorted(made) == sorted(under)
    assert document["components"]["links"]["captureInvoice"] == {
        "operationId": "captureInvoice",
        "parameters": {"reference": "$response.body#/reference"},
    }


def test_every_code_of_a_refusal_is_explained_and_said_by_some_operation() -> None:
    """What my program must handle stands where it can happen."""
    said = set()
    for methods in openapi()["paths"].values():
        for method, described in methods.items():
            if method != "parameters":
                for status, answer in described["responses"].items():
                    schema = answer.get("content", {}).get("application/problem+json", {})
                    for part in schema.get("schema", {}).get("allOf", [])[1:]:
                        codes = part["properties"]["code"]["enum"]
                        assert {EXPLAINED[code].status for code in codes} == {int(status)}
                        said |= set(codes)

    # Of the command line, the console and the front door, and what no operation lets out.
    elsewhere = {
        "changed_meanwhile",
        "conflict",
        "headers_too_large",
        "keys_missing",
        "login_taken",
        "method_not_allowed",
        "not_http",
        "refund_waits",
        "request_too_slow",
        "sales_unit_exists",
        "schema_outdated",
        "second_person_needed",
        "upstream_failed",
        "upstream_rejected",
        "upstream_timeout",
    }
    assert set(EXPLAINED) - said == elsewhere


@pytest.mark.parametrize("name", pages())
def test_reference_page_is_what_the_code_says(name: str) -> None:
    """What I read is true today: `make reference` writes it."""
    assert (DOCS / name).read_text() == pages()[name]


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_webhook_of_each_event_type_has_its_published_schema_and_the_headers(
    event_type: str,
) -> None:
    """A receiver is written from this document alone."""
    webhook = openapi()["webhooks"][event_type]["post"]

    schema = openapi()["components"]["schemas"][event_type]
    names = [one["$ref"].rpartition("/")[2] for one in webhook["parameters"]]
    published = event_schema(event_type)
    assert json.dumps(schema["properties"]).replace("/components/schemas/", "/$defs/") == (
        json.dumps(published["properties"])
    )
    assert names == ["webhook-id", "webhook-timestamp", "webhook-signature"]


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        (200, {"status": "up", "more": 1}, {"X-Trace-Id": "t"}),
        (200, {"status": "down"}, {"X-Trace-Id": "t"}),
        (200, {"status": "up"}, {}),
        (418, {"status": "up"}, {"X-Trace-Id": "t"}),
    ],
)
def test_answer_that_is_not_as_documented_is_noticed(
    status: int, body: object, headers: dict[str, str]
) -> None:
    """The check that all answers of all tests go through can fail."""
    asked = httpx.Request("GET", "http://api.example/healthz")
    right = httpx.Response(200, json={"status": "up"}, headers={"X-Trace-Id": "t"}, request=asked)
    wrong = httpx.Response(status, json=body, headers=headers, request=asked)

    check_answer(right)
    with pytest.raises(NotAsDocumented):
        check_answer(wrong)
