"""The way of every request to the page: bounded, found or not, answered in a language."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import structlog
from anyio import to_thread
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from service.context import Context
from service.errors import DatabaseAway
from service.pages.formats import local_day
from service.pages.languages import LANGUAGES, Language, language_for
from service.pages.look import Found, find
from service.pages.market import VIPPS, Brand, brand_of
from service.pages.rendering import Renderer

log = structlog.get_logger(__name__)

COOKIE = "lang"
_A_YEAR_S = 365 * 86_400


# What one link may ask for: a page that is open asks every two seconds, and may be open twice.
LOOKS = RateLimitItemPerMinute(120)
ACTS = RateLimitItemPerMinute(12)
# By address, and only for tokens that open nothing: behind a proxy all customers may share one,
# and nobody's wrong guesses shall keep another from their invoice. Guessing 144 bits is hopeless
# anyway; this bounds the work it makes, in each process by itself.
MISSES = RateLimitItemPerMinute(20)


@dataclass(frozen=True, slots=True)
class Visit:
    """One request for one invoice's page."""

    request: Request
    token: str = field(repr=False)
    found: Found
    language: Language
    brand: Brand

    @property
    def path(self) -> str:
        """Return the page's own path."""
        return f"/i/{self.token}"


Serve = Callable[[Visit], Awaitable[Response]]


class Door:
    """Lets visitors in to the page that their token opens, and nobody anywhere else."""

    def __init__(self, context: Context, renderer: Renderer) -> None:
        """Start with nobody counted."""
        self._context = context
        self._renderer = renderer
        self._limiter = FixedWindowRateLimiter(MemoryStorage())

    def route(self, path: str, serve: Serve, *, method: str = "GET") -> Route:
        """Return the route of one address of the page."""

        async def endpoint(request: Request) -> Response:
            begun = time.monotonic()
            answer = await self._answer(request, serve, is_act=method == "POST")
            self._keep_language(request, answer)
            log.info(
                "page_call",
                method=request.method,
                path=path,
                status=answer.status_code,
                latency_ms=round((time.monotonic() - begun) * 1000),
            )
            return answer

        return Route(path, endpoint, methods=[method], max_body_size=_FORM_BYTES_MAX)

    async def _answer(self, request: Request, serve: Serve, *, is_act: bool) -> Response:
        token = request.path_params["token"]
        try:
            found = await to_thread.run_sync(self._find, token)
        except DatabaseAway:
            return self._problem(request, "away", 503)
        if found is None:
            # As much work and as many words for any of them: what was wrong is not told.
            may_ask = self._limiter.hit(MISSES, _address(request))
            return self._problem(request, *(("unknown", 404) if may_ask else ("busy", 429)))
        if not self._limiter.hit(ACTS if is_act else LOOKS, found.invoice.id):
            return self._problem(request, "busy", 429, found)
        visit = Visit(request, token, found, _language(request, found), self._brand(found))
        try:
            return await serve(visit)
        except DatabaseAway:
            return self._problem(request, "away", 503, found)

    def _find(self, token: str) -> Found | None:
        with self._context.database.snapshot() as session:
            return find(session, token)

    def _brand(self, found: Found) -> Brand:
        currency = found.invoice.currency
        today = local_day(self._context.clock.business_now(), currency)
        return brand_of(currency, today, self._context.settings.mobilepay_until)

    def _problem(
        self, request: Request, kind: str, status: int, found: Found | None = None
    ) -> Response:
        language = _language(request, found)
        brand = self._brand(found) if found else VIPPS
        answer = self._renderer.page(
            "problem.html", {"kind": kind}, language=language, brand=brand, status=status
        )
        if status in (429, 503):
            answer.headers["Retry-After"] = "10"
        return answer

    def _keep_language(self, request: Request, answer: Response) -> None:
        """Keep what the visitor chose; nothing else is ever stored in a browser."""
        chosen = request.query_params.get("lang")
        if chosen is not None and chosen in LANGUAGES and answer.status_code == 200:
            is_https = self._context.settings.base_url.startswith("https:")
            answer.set_cookie(
                COOKIE,
                chosen,
                max_age=_A_YEAR_S,
                path="/i",
                secure=is_https,
                httponly=True,
                samesite="lax",
            )


# The longest form is that of a day.
_FORM_BYTES_MAX = 1024


def _language(request: Request, found: Found | None) -> Language:
    chosen = request.query_params.get("lang") or request.cookies.get(COOKIE)
    accepted = request.headers.get("accept-language", "")
    return language_for(chosen, accepted, found.invoice.currency if found else None)


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


def see_other(url: str) -> Response:
    """Send the browser on after a form, so that a reload does nothing twice."""
    return RedirectResponse(url, 303, headers=PRIVATE)


# Also a redirect must not tell the next page whence it came: the token is in the address.
PRIVATE = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
