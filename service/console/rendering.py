"""The console's pages: templates, assets, and how little a browser may do with them.

What stands on them comes from strangers: references, descriptions, subscribers' answers. It is
escaped wherever it stands, and a page runs and loads nothing but our own files (T38).
"""

import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from service.console.formats import day_and_time, money, number, span
from service.settings import Settings

_ASSETS_FOLDER = Path(__file__).parent / "assets"
_MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_YEAR_S = 31_536_000

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
        " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    # `same-origin` and not `no-referrer`: with that, browsers send `Origin: null` from forms.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


class Pages:
    """Renders templates for one service."""

    def __init__(self, settings: Settings) -> None:
        """Prepare the templates; nothing is read before the first page."""
        self._environment = Environment(
            loader=PackageLoader("service.console"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals.update(
            asset=_asset_path,
            stands_in_for_vipps=not settings.is_vipps_real,
            has_sandbox=settings.has_built_in_sandbox,
        )
        self._environment.filters.update(money=money, number=number, moment=day_and_time, span=span)

    def page(self, template: str, values: Mapping[str, Any], *, status: int = 200) -> Response:
        """Return a page that no cache keeps."""
        html = self._environment.get_template(template).render(values)
        return HTMLResponse(html, status, headers=_HEADERS)

    def asset_routes(self) -> list[Route]:
        """Return the route of style sheets, scripts and pictures."""
        return [Route("/console/assets/{name}", _serve_asset, methods=["GET"])]


def see_other(path: str) -> Response:
    """Send the browser on after a form, so that a reload does nothing twice."""
    return RedirectResponse(path, 303, headers={"Cache-Control": "no-store"})


@cache
def _assets() -> dict[str, bytes]:
    files = (path for path in _ASSETS_FOLDER.iterdir() if path.suffix in _MEDIA_TYPES)
    return {path.name: path.read_bytes() for path in files}


def _asset_path(name: str) -> str:
    # The file's hash in the address lets browsers keep it for good.
    return f"/console/assets/{name}?v={hashlib.sha256(_assets()[name]).hexdigest()[:12]}"


async def _serve_asset(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in _assets():
        return Response(status_code=404)
    headers = {
        "Cache-Control": f"public, max-age={_YEAR_S}, immutable",
        "X-Content-Type-Options": "nosniff",
    }
    return Response(_assets()[name], headers=headers, media_type=_MEDIA_TYPES[Path(name).suffix])
