"""Vipps's own OpenAPI files, held against what the sandbox says.

The files are not ours to ship: `VIPPS_OPENAPI_DIR` names the folder that has them.
"""

import os
import re
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import yaml
from openapi_schema_validator import OAS30Validator
from referencing import Registry
from referencing.jsonschema import DRAFT4

# API prefix -> (file, what its paths leave out of ours).
SPECS = {
    "/accesstoken": ("access-token-2.0.0.yaml", ""),
    "/epayment": ("epayment-1.8.1.yaml", "/epayment"),
    "/order-management": ("order-management-2.1.yaml", "/order-management"),
    "/webhooks": ("webhooks-v1.yaml", "/webhooks"),
}

# Where the sandbox knowingly says what the files do not list: status -> why, with source.
DIFFERENCES = {
    401: "Azure API Management answers in its own shape (docs: knowledge-base/errors)",
    429: "Azure API Management answers in its own shape (docs: knowledge-base/errors)",
    500: "chaos; an API may always fail (docs: knowledge-base/errors)",
    503: "chaos; an API may always fail (docs: knowledge-base/errors)",
    504: "chaos; a gateway that lost patience",
    400: "the files list 400 for few operations (docs: ePayment errors)",
    403: "approval missing for the sales unit (docs: ePayment errors)",
    404: "the files list no 404 for reads and deletes (docs: knowledge-base/errors)",
    409: "a reused Idempotency-Key (docs: knowledge-base/http-headers)",
    413: "a body beyond any Vipps would read",
    423: "locked by a concurrent operation (docs: ePayment errors)",
}

HOW_TO_GET_THEM = (
    "VIPPS_OPENAPI_DIR is unset: nothing here is compared with Vipps's OpenAPI files. Download "
    "them from developer.vippsmobilepay.com/redocusaurus/ (epayment-swagger-id.yaml and others), "
    f"name them {sorted(name for name, _ in SPECS.values())}, and set it to their folder."
)


def folder() -> Path | None:
    """Return the folder of the files, or None where nobody named one."""
    named = os.environ.get("VIPPS_OPENAPI_DIR")
    return Path(named) if named else None


def check_answer(answer: httpx.Response) -> None:
    """Fail unless the specs allow this answer, or the table of differences does."""
    path = answer.request.url.path
    prefix = next((p for p in SPECS if path.startswith(p)), None)
    if folder() is None or prefix is None:
        return
    name, left_out = SPECS[prefix]
    answers = _operation(name, path.removeprefix(left_out), answer.request.method)["responses"]
    declared = answers.get(str(answer.status_code))
    if declared is None:
        assert answer.status_code in DIFFERENCES, f"{answer.request.method} {path}: {answer.text}"
        if answer.headers.get("content-type") == "application/problem+json":
            schema = "ProblemDetails" if prefix == "/webhooks" else "Problem"
            check(answer.json(), name, pointer=f"/components/schemas/{schema}")
        return
    _check_declared(answer, name, declared=_resolved(name, declared))


def check(value: object, name: str, *, pointer: str) -> None:
    """Fail unless the value is what that file says at that place."""
    errors = [error.message for error in _validator(name, pointer).iter_errors(value)]
    assert not errors, f"{errors} in {value}"


def check_webhook(body: object) -> None:
    """Fail unless Vipps might have sent this webhook."""
    if folder() is not None:
        check(body, "epayment-1.8.1.yaml", pointer="/components/schemas/WebhookEvent")


def _check_declared(answer: httpx.Response, name: str, *, declared: dict[str, Any]) -> None:
    content = declared.get("content")
    if content is None:
        return
    by_type = {media_type.replace(" ", ""): entry for media_type, entry in content.items()}
    entry = by_type[answer.headers["content-type"].replace(" ", "")]
    validator = OAS30Validator(_absolute(entry["schema"], name), registry=_registry())
    errors = [error.message for error in validator.iter_errors(answer.json())]
    assert not errors, f"{errors} in {answer.text}"


def _operation(name: str, path: str, method: str) -> dict[str, Any]:
    for template, operations in _document(name)["paths"].items():
        pattern = re.sub(r"\{[^}]+\}", "[^/]+", template)
        if re.fullmatch(pattern, path) and method.lower() in operations:
            found: dict[str, Any] = operations[method.lower()]
            return found
    raise AssertionError(f"{name} has no {method} {path}")


def _resolved(name: str, entry: dict[str, Any]) -> dict[str, Any]:
    for part in entry.get("$ref", "").split("/")[1:]:
        entry = _document(name)[part] if part == "components" else entry[part]
    return entry


def _absolute(schema: Any, name: str) -> Any:
    if isinstance(schema, dict):
        return {
            key: f"urn:{name}{value}" if key == "$ref" else _absolute(value, name)
            for key, value in schema.items()
        }
    return [_absolute(item, name) for item in schema] if isinstance(schema, list) else schema


@cache
def _document(name: str) -> dict[str, Any]:
    where = folder()
    assert where is not None
    document: dict[str, Any] = yaml.safe_load((where / name).read_text(encoding="utf-8"))
    return document


@cache
def _registry() -> Registry[Any]:
    names = [name for name, _ in SPECS.values()]
    resources = [(f"urn:{name}", DRAFT4.create_resource(_document(name))) for name in names]
    return Registry().with_resources(resources)


@cache
def _validator(name: str, pointer: str) -> OAS30Validator:
    return OAS30Validator({"$ref": f"urn:{name}#{pointer}"}, registry=_registry())
