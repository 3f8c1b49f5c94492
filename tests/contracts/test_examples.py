"""Every example is sent as it stands, to the service that runs, and answered as documented."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from openapi_core import Config, OpenAPI
from openapi_core.testing import MockRequest, MockResponse

from service.api.contract.openapi import openapi
from tests.api_contract import check_answer
from tests.contracts.stage import FILES, Stage, needs, stage_of
from tests.service.cli.test_serving import Served

Case = tuple[str, str, str | None]

# It has no end; test_event_stream.py reads it.
_ENDLESS = "/v1/events/stream"


def _cases() -> Iterator[Case]:
    """Return every operation, once for each example of a body, else once."""
    for path, methods in openapi()["paths"].items():
        for method, described in methods.items():
            if method == "parameters" or path == _ENDLESS:
                continue
            names = _content(described).get("application/json", {}).get("examples", {None: None})
            yield from ((path, method, name) for name in names)


def _content(described: Any) -> Any:
    return described.get("requestBody", {}).get("content", {})


@pytest.fixture(scope="module")
def stage(service: Served) -> Iterator[Stage]:
    """Give a merchant's system."""
    opened = stage_of(service)
    yield opened
    opened.client.close()


@pytest.fixture(scope="module")
def contract(stage: Stage) -> OpenAPI:
    """Read the document as another's library does."""
    # It knows no lines of JSON; they are text.
    config = Config(extra_media_type_deserializers={"application/x-ndjson": bytes.decode})
    return OpenAPI.from_dict(stage.client.get("/openapi.json").json(), config=config)


@pytest.mark.parametrize(("path", "method", "name"), list(_cases()))
def test_example_can_be_sent_and_is_answered_as_documented(
    stage: Stage, contract: OpenAPI, path: str, method: str, name: str | None
) -> None:
    """What I copy from the document works, and what comes back is what it says."""
    described = openapi()["paths"][path][method]
    parts = needs(described["operationId"])(stage)

    answer = stage.client.request(
        method, path.format(**parts), params=_parameters(described), **_body(described, name)
    )

    assert answer.is_success, answer.text
    check_answer(answer)
    if path.startswith("/v1"):
        _check_by_openapi_core(contract, answer, path, parts)


def test_documented_examples_show_every_member_that_can_be_sent() -> None:
    """Nothing that I may send is hidden from somebody who learns by examples."""
    hidden = []
    for path, method, _ in _cases():
        content = _content(openapi()["paths"][path][method]).get("application/json", {})
        if "schema" in content:
            examples = [one["value"] for one in content.get("examples", {}).values()]
            hidden += [
                f"{method} {path}: {member}"
                for member in _schema(content["schema"]).get("properties", {})
                if not any(member in value for value in examples)
            ]

    # An amount is shown where money is taken and given back.
    assert hidden == ["post /v1/invoices/{reference}/cancel: amount"]


def _schema(schema: Any) -> Any:
    return openapi()["components"]["schemas"][schema["$ref"].rpartition("/")[2]]


def _parameters(described: Any) -> dict[str, Any]:
    inline = [one for one in described.get("parameters", []) if "$ref" not in one]
    return {one["name"]: one["example"] for one in inline if "example" in one}


def _body(described: Any, name: str | None) -> dict[str, Any]:
    for media_type, content in _content(described).items():
        if media_type in FILES:
            return {"content": FILES[media_type], "headers": {"Content-Type": media_type}}
        if name is not None:
            return {"json": content["examples"][name]["value"]}
    return {}


def _check_by_openapi_core(
    contract: OpenAPI, answer: httpx.Response, path: str, parts: Any
) -> None:
    """Check request and answer by a library that knows nothing of ours."""
    asked = answer.request
    request = MockRequest(
        str(asked.url.copy_with(path="/", query=None)).rstrip("/"),
        asked.method.lower(),
        asked.url.path,
        path_pattern=path,
        args=dict(asked.url.params),
        view_args=dict(parts),
        headers=dict(asked.headers),
        data=asked.content or None,
        content_type=asked.headers.get("content-type", ""),
    )
    media_type = answer.headers.get("content-type", "application/json").partition(";")[0]
    response = MockResponse(
        answer.content, answer.status_code, dict(answer.headers), content_type=media_type
    )
    contract.validate_request(request)
    contract.validate_response(request, response)
