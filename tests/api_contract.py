"""Every answer that a test gets is held against the document that is served."""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import httpx
from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from service.api.contract.openapi import openapi
from tests.event_contract import closed

_HERE = "urn:betalbar:openapi"


class NotAsDocumented(AssertionError):
    """An answer that nobody who reads the document would expect."""


async def check_answers(answer: httpx.Response) -> None:
    """Check one answer of the API, for the event hooks of httpx's clients.

    One that goes on for ever is not read. Raises: NotAsDocumented."""
    if _media_type(answer) != "text/event-stream":
        await answer.aread()
    check_answer(answer)


def check_answer(answer: httpx.Response) -> None:
    """Check one answer that has been read. Raises: NotAsDocumented."""
    path = _path_of(answer.request.url.path)
    described = _document()["paths"].get(path, {}).get(_method(answer))
    if described is None:
        if answer.status_code not in (404, 405):
            raise NotAsDocumented(f"{answer.request.method} {answer.request.url.path}")
        return
    named = described["responses"].get(str(answer.status_code))
    if named is None:
        raise NotAsDocumented(f"{path}: {answer.status_code} {answer.text}")
    _check_headers(named, answer.headers)
    media_type = _media_type(answer)
    if answer.request.method == "HEAD" or media_type == "text/event-stream":
        return
    raw, content = answer.content, named.get("content", {})
    if bool(raw) != bool(content) or (raw and media_type not in content):
        raise NotAsDocumented(f"{path}: {answer.status_code} {media_type}")
    if media_type in ("application/json", "application/problem+json"):
        place = f"/paths/{_escaped(path)}/{_method(answer)}/responses/{answer.status_code}"
        schema = validator(f"{place}/content/{_escaped(media_type)}/schema")
        wrong = next(schema.iter_errors(answer.json()), None)
        if wrong is not None:
            raise NotAsDocumented(f"{path}: {wrong.json_path}: {wrong.message}")


def _check_headers(named: Mapping[str, Any], headers: httpx.Headers) -> None:
    for name, header in named.get("headers", {}).items():
        kept = _document()["components"]["headers"][header["$ref"].rpartition("/")[2]]
        if kept.get("required") and name not in headers:
            raise NotAsDocumented(f"{name} is missing")


def _media_type(answer: httpx.Response) -> str:
    return str(answer.headers.get("content-type", "")).partition(";")[0]


def _method(answer: httpx.Response) -> str:
    method = answer.request.method.lower()
    return "get" if method == "head" else method


@cache
def _document() -> Any:
    return closed(openapi())


@cache
def validator(place: str) -> Draft202012Validator:
    """Return the validator of one place in the document."""
    resource = Resource.from_contents(_document(), default_specification=DRAFT202012)
    return Draft202012Validator(
        {"$ref": f"{_HERE}#{place}"},
        registry=Registry().with_resource(_HERE, resource),
        format_checker=FormatChecker(),
    )


def _path_of(path: str) -> str:
    """Return which of the document's paths an address is; the one with a name comes last."""
    if path in openapi()["paths"]:
        return path
    return next((known for known in _patterns() if _patterns()[known].fullmatch(path)), path)


@cache
def _patterns() -> dict[str, re.Pattern[str]]:
    return {path: re.compile(re.sub(r"\{\w+\}", "[^/]+", path)) for path in openapi()["paths"]}


def _escaped(part: str) -> str:
    return part.replace("~", "~0").replace("/", "~1").replace("{", "%7B").replace("}", "%7D")
