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

from tests.sandbox.differences import WEBHOOK, is_gateways, is_known

# API prefix -> (file, what its paths leave out of ours).
SPECS = {
    "/accesstoken": ("access-token-2.0.0.yaml", ""),
    "/epayment": ("epayment-1.8.1.yaml", "/epayment"),
    "/order-management": ("order-management-2.1.yaml", "/order-management"),
    "/webhooks": ("webhooks-v1.yaml", "/webhooks"),
    "/vipps-userinfo-api": ("userinfo-2.0.3.yaml", ""),
}

# API prefix -> the schema of its refusals.
REFUSALS = {
    "/epayment": "Problem",
    "/order-management": "ErrorResponse",
    "/webhooks": "ProblemDetails",
    "/vipps-userinfo-api": "UserinfoError",
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
    path, method = answer.request.url.path, answer.request.method
    prefix = next((p for p in SPECS if path.startswith(p)), None)
    if folder() is None or prefix is None:
        return
    name, left_out = SPECS[prefix]
    template, operation = _operation(name, path.removeprefix(left_out), method)
    status, asked = str(answer.status_code), f"{method} {left_out}{template}"
    if is_gateways(status) and _is_gateways(answer):
        return
    if (declared := operation["responses"].get(status)) is None:
        assert is_known(asked, status), f"{asked}: {status} {answer.text}"
        check(answer.json(), name, pointer=f"/components/schemas/{REFUSALS[prefix]}")
    else:
        _check_declared(answer, name, declared=_resolved(name, declared), asked=asked)


def _is_gateways(answer: httpx.Response) -> bool:
    if answer.status_code == 504:
        return answer.content == b""
    is_json = answer.headers.get("content-type") == "application/json" and answer.content != b""
    body = answer.json() if is_json else None
    return isinstance(body, dict) and set(body) == {"statusCode", "message"}


def check(value: object, name: str, *, pointer: str) -> None:
    """Fail unless the value is what that file says at that place."""
    errors = [error.message for error in _validator(name, pointer).iter_errors(value)]
    assert not errors, f"{errors} in {value}"


def check_webhook(body: object) -> None:
    """Fail unless Vipps might have sent this webhook."""
    if folder() is not None:
        name, schema = "epayment-1.8.1.yaml", {"$ref": "#/components/schemas/WebhookEvent"}
        _check_value(body, name, schema=schema, asked=WEBHOOK)


def _check_declared(
    answer: httpx.Response, name: str, *, declared: dict[str, Any], asked: str
) -> None:
    content = declared.get("content")
    if content is None:
        return
    by_type = {media_type.replace(" ", ""): entry for media_type, entry in content.items()}
    entry = by_type[answer.headers["content-type"].replace(" ", "")]
    _check_value(answer.json(), name, schema=entry["schema"], asked=asked)


def _check_value(value: object, name: str, *, schema: dict[str, Any], asked: str) -> None:
    validator = OAS30Validator(_absolute(schema, name), registry=_registry())
    errors = [
        error.message
        for error in validator.iter_errors(value)
        if not is_known(asked, "/".join(map(str, error.absolute_path)))
    ]
    # A field that no file has is as much a difference as one of the wrong type.
    properties = _resolved(name, schema).get("properties")
    if properties is not None and isinstance(value, dict):
        unheard = [field for field in value if field not in properties]
        errors += [f"{field} is in no file" for field in unheard if not is_known(asked, field)]
    assert not errors, f"{asked}: {errors} in {value}"


def _operation(name: str, path: str, method: str) -> tuple[str, dict[str, Any]]:
    # A path with fewer places for any word is the better match.
    paths: dict[str, Any] = _document(name)["paths"]
    for template in sorted(paths, key=lambda text: text.count("{")):
        pattern = re.sub(r"\{[^}]+\}", "[^/]+", template)
        if re.fullmatch(pattern, path) and method.lower() in paths[template]:
            return template.replace("{Reference}", "{reference}"), paths[template][method.lower()]
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
