"""The contracts themselves, as files, and a viewer for them; anybody may read them."""

import hashlib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import orjson
from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.api.answers import Answer
from service.api.calls import OpenHandler
from service.api.contract.asyncapi import served_asyncapi
from service.api.contract.openapi import served_openapi

_ASSETS = Path(__file__).parent / "assets"
_MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}

# The viewer draws small pictures that stand in its own style sheet.
_PAGE_HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
        " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
}


def contract_handlers(base_url: str) -> Mapping[str, OpenHandler]:
    """Return who answers for `/openapi.json`, `/asyncapi.json` and `/docs`."""
    return {
        "/openapi.json": _file(lambda: served_openapi(base_url)),
        "/asyncapi.json": _file(lambda: served_asyncapi(base_url)),
        "/docs": _page,
    }


def asset_route() -> Route:
    """Return the route of the viewer's own files."""
    return Route("/docs/assets/{name}", _serve_asset, methods=["GET"])


def _file(document: Callable[[], Any]) -> OpenHandler:
    # Made when first asked for, beside the others: it takes half a second, which no start waits
    # for, and no webhook either.
    body = cache(lambda: orjson.dumps(document(), option=orjson.OPT_INDENT_2))

    async def handle(_: Request) -> Answer:
        return Answer(200, await to_thread.run_sync(body))

    return handle


async def _page(_: Request) -> Answer:
    """Answer `GET /docs`."""
    return Answer(200, (_ASSETS / "docs.html").read_bytes(), _PAGE_HEADERS)


@cache
def _assets() -> Mapping[str, bytes]:
    return {path.name: path.read_bytes() for path in _ASSETS.iterdir()}


async def _serve_asset(request: Request) -> Response:
    """Answer `GET /docs/assets/{name}`; a new version of the viewer is seen within a minute."""
    name = request.path_params["name"]
    kind = _MEDIA_TYPES.get(Path(name).suffix)
    if kind is None or name not in _assets():
        return Response(status_code=404)
    content = _assets()[name]
    headers = {
        "Cache-Control": "public, max-age=60",
        "ETag": f'"{hashlib.sha256(content).hexdigest()[:32]}"',
        "X-Content-Type-Options": "nosniff",
    }
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers, media_type=kind)
