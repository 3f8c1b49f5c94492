"""The page's templates, its few files, and how much a browser may do with it.

What merchants write is a stranger's text to the customer's browser: it is escaped wherever it
stands, and nothing runs or loads but our own files.
"""

import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from service.pages.languages import LANGUAGES, Language, texts
from service.pages.market import Brand
from service.settings import Settings
from service.vipps.reading import REDIRECT_HOSTS

_HERE = Path(__file__).parent
_ASSETS = {
    "page.css": "text/css",
    "page.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}


class Renderer:
    """Render the pages of one service, in every language."""

    def __init__(self, settings: Settings) -> None:
        """Read the templates; fail now rather than in front of a customer."""
        self._environments = {code: _environment(code) for code in LANGUAGES}
        self.headers = _headers(settings)

    def page(
        self,
        template: str,
        values: Mapping[str, Any],
        *,
        language: Language,
        brand: Brand,
        status: int = 200,
    ) -> Response:
        """Return the page in a language."""
        known: dict[str, Any] = {"language": language, "languages": LANGUAGES, "brand": brand}
        html = self._environments[language.code].get_template(template).render(known | dict(values))
        return HTMLResponse(html, status, headers=self.headers)


def _environment(code: str) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    catalogue = texts(code)
    install = environment.install_gettext_callables  # type: ignore[attr-defined]  # the extension's
    install(catalogue.gettext, catalogue.ngettext, newstyle=True)
    environment.globals["asset"] = _asset_path
    return environment


def _headers(settings: Settings) -> dict[str, str]:
    # A browser checks a form's whole way, and ours ends at Vipps.
    ways = [f"https://{host} https://*.{host}" for host in REDIRECT_HOSTS]
    # The app opens the page by itself, where no rule on frames applies. Only a sandbox's phone
    # shows it in a frame, and a sandbox is never next to a real Vipps.
    frames = "'none'"
    if not settings.is_vipps_real:
        sandbox = urlsplit(settings.upstream_url)
        frames = f"'self' {sandbox.scheme}://{sandbox.hostname}:*"
        ways.append(f"{sandbox.scheme}://{sandbox.hostname}:*")
    policy = (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
        " connect-src 'self'; frame-src 'self'; base-uri 'none';"
        f" form-action 'self' {' '.join(ways)}; frame-ancestors {frames}"
    )
    return {
        "Cache-Control": "no-store",
        "Content-Security-Policy": policy,
        "Referrer-Policy": "no-referrer",
        "Vary": "Accept-Language, Cookie",
        "X-Content-Type-Options": "nosniff",
        "X-Robots-Tag": "noindex",
    }


@cache
def _asset(name: str) -> bytes:
    return (_HERE / "assets" / name).read_bytes()


def _asset_path(name: str) -> str:
    # The file's hash in the address lets browsers keep it for good.
    return f"/i/assets/{name}?v={hashlib.sha256(_asset(name)).hexdigest()[:12]}"


async def serve_asset(request: Request) -> Response:
    """Answer `GET /i/assets/{name}`."""
    name = request.path_params["name"]
    if name not in _ASSETS:
        return Response(status_code=404)
    headers = {
        "Cache-Control": "public, max-age=31536000, immutable",
        "X-Content-Type-Options": "nosniff",
    }
    return Response(_asset(name), headers=headers, media_type=_ASSETS[name])
