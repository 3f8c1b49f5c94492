"""The sandbox's pages: their templates, their assets, and how much a browser may do.

Everything a payment says is a stranger's text. It is escaped wherever it stands, and no
page runs or loads anything but our own files.
"""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from service.sandbox.origins import check_sender
from service.sandbox.problems import Refused

_FOLDER = Path(__file__).parent / "pages"
_ASSETS = {
    "base.css": "text/css",
    "phone.css": "text/css",
    "controls.css": "text/css",
    "phone.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}
# The longest form is that of chaos, with eight numbers.
_FORM_BYTES_MAX = 4096

# `same-origin` and not `no-referrer`: with that, browsers send `Origin: null` from our forms.
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
        " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}

Form = Mapping[str, str]
Serve = Callable[[Request, Form], Response]
Endpoint = Callable[[Request], Awaitable[Response]]


class Pages:
    """Render the pages of one sandbox, reached at `public_url` or at its own address.

    What they change is `kept` before a browser hears of it.
    """

    def __init__(self, public_url: str, *, kept: Callable[[], Awaitable[None]]) -> None:
        self._public_url = public_url
        self._kept = kept
        self._environment = Environment(
            loader=FileSystemLoader(_FOLDER),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals["asset"] = _asset_path

    def page(
        self, template: str, values: Mapping[str, Any], *, status: int = 200, frames: str = ""
    ) -> Response:
        """Return the page; `frames` says where its web view may go, by default nowhere."""
        html = self._environment.get_template(template).render(values)
        answer = HTMLResponse(html, status, headers=_HEADERS)
        if frames:
            answer.headers["Content-Security-Policy"] += f"; frame-src {frames}"
        return answer

    def shown(self, path: str, serve: Serve) -> Route:
        """Return the route of a page."""
        return Route(path, self._endpoint(serve), methods=["GET"])

    def acted(self, path: str, serve: Serve) -> Route:
        """Return the route of a form, which takes nothing from other sites' pages."""

        def checked(request: Request, form: Form) -> Response:
            check_sender(request.headers, self._public_url)
            return serve(request, form)

        endpoint = self._endpoint(checked)
        return Route(path, endpoint, methods=["POST"], max_body_size=_FORM_BYTES_MAX)

    def asset_routes(self) -> list[Route]:
        """Return the route of the style sheets and the script."""
        return [Route("/phone/assets/{name}", _serve_asset, methods=["GET"])]

    def _endpoint(self, serve: Serve) -> Endpoint:
        async def endpoint(request: Request) -> Response:
            body = (await request.body()).decode(errors="replace")
            try:
                answer = serve(request, dict(parse_qsl(body)))
            except Refused as refused:
                answer = self.page("refused.html", {"refused": refused}, status=refused.status)
            await self._kept()
            return answer

        return endpoint


def see_other(path: str) -> Response:
    """Send the browser on after a form, so that a reload does nothing twice."""
    return RedirectResponse(path, 303, headers={"Cache-Control": "no-store"})


@cache
def _asset(name: str) -> bytes:
    return (_FOLDER / name).read_bytes()


def _asset_path(name: str) -> str:
    # The file's hash in the address lets browsers keep it for good.
    return f"/phone/assets/{name}?v={hashlib.sha256(_asset(name)).hexdigest()[:12]}"


async def _serve_asset(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in _ASSETS:
        return Response(status_code=404)
    headers = {
        "Cache-Control": "public, max-age=31536000, immutable",
        "X-Content-Type-Options": "nosniff",
    }
    return Response(_asset(name), headers=headers, media_type=_ASSETS[name])
