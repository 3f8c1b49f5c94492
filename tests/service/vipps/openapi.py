"""Vipps's own OpenAPI files as judges of what we send.

They are not part of this project: `VIPPS_OPENAPI_DIR` names the folder they are in.
"""

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from openapi_core import OpenAPI
from openapi_core.testing import MockRequest

_FILES = {
    "/accesstoken": "access-token-2.0.0.yaml",
    "/epayment": "epayment-1.8.1.yaml",
    "/order-management": "order-management-2.1.yaml",
    "/webhooks": "webhooks-v1.yaml",
}
FOLDER = os.environ.get("VIPPS_OPENAPI_DIR", "")

needs_openapi = pytest.mark.skipif(
    not FOLDER,
    reason="VIPPS_OPENAPI_DIR is not set: requests are NOT checked against Vipps's OpenAPI files",
)


def check(request: httpx.Request) -> None:
    """Pass if Vipps's specification allows this request: path, headers and body."""
    prefix = "/" + request.url.path.split("/")[1]
    _specification(_FILES[prefix]).validate_request(_as_openapi(request))


def sealed(schema: Any) -> None:
    """Refuse unknown members in every object: Vipps takes them, so a typo would be silent."""
    for inner in _dicts(schema):
        if isinstance(inner.get("properties"), dict) and inner.get("type") == "object":
            inner.setdefault("additionalProperties", False)


def load(name: str) -> dict[str, Any]:
    """Return one file's content."""
    loaded: dict[str, Any] = yaml.safe_load((Path(FOLDER) / name).read_text())
    return loaded


@cache
def _specification(name: str) -> OpenAPI:
    document = load(name)
    sealed(document["components"]["schemas"])
    parameters = document["components"].get("parameters", {})
    if "Transaction-Type" in parameters:
        # The file has capitals only; Vipps's guide and its own plugins send lower case.
        parameters["Transaction-Type"]["schema"]["enum"].append("ecom")
    return OpenAPI.from_dict(document)


def _as_openapi(request: httpx.Request) -> MockRequest:
    return MockRequest(
        f"{request.url.scheme}://{request.url.host}",
        request.method.lower(),
        request.url.path,
        headers=dict(request.headers),
        data=request.content or None,
        content_type=request.headers.get("Content-Type", ""),
    )


def _dicts(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _dicts(item)
