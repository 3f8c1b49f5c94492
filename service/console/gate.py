"""Who makes a request: looked up from the cookie each time, before anything is shown or done.

A form is taken only from our own pages (origin), and only with what this session's pages carry
(token): either alone would do, and neither is easy to lose by mistake (T37).
"""

import hmac
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import parse_qsl, quote, urlsplit

import structlog
from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.cause import current_request_id
from service.console.rendering import Pages, see_other
from service.context import Context
from service.errors import DatabaseAway, Unauthorized
from service.staff.roles import Permission, may
from service.staff.sessions import SignedIn, csrf_token, is_seen_long_ago, note_seen, signed_in
from service.store.tables import Feed, SalesUnit

SIGN_IN = "/console/sign-in"
# A reason of 500 characters, percent-encoded, and what stands beside it.
FORM_BYTES_MAX = 16_384
# A page that brings itself up to date says so: nobody need sit before it, and what it asks for
# does not put the idle end off (T36).
LIVE = "x-live"

Form = Mapping[str, str]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Visit:
    """One request of somebody who is signed in."""

    context: Context
    pages: Pages
    who: SignedIn
    unit: SalesUnit
    now: datetime
    head: int  # how far the feed was when the page was asked for
    path: str
    address: str  # what the page can be asked for again by; empty after a form
    query: Form
    parts: Form
    form: Form = field(default_factory=dict)

    def page(self, template: str, values: Mapping[str, object], *, status: int = 200) -> Response:
        """Return a page with what stands on all of them."""
        return self.pages.page(template, {"visit": self, **values}, status=status)

    def may(self, permission: str) -> bool:
        """Tell a template whether to offer something."""
        return may(self.who.person.role, Permission(permission))

    @property
    def business_now(self) -> datetime:
        """Return the time by which invoices are due and events are dated."""
        return self.context.clock.business_now()


Serve = Callable[[Visit], Response]


class Gate:
    """Makes routes of handlers: each says what one must be permitted."""

    def __init__(self, context: Context, pages: Pages) -> None:
        """Take what all handlers need."""
        self.context = context
        self.pages = pages
        is_https = context.settings.base_url.startswith("https://")
        # `__Host-` is for this host and path alone, and only over https; on a developer's
        # machine there is none.
        self.cookie = "__Host-betalbar" if is_https else "betalbar"
        self.is_https = is_https
        self._hosts = {urlsplit(context.settings.base_url).netloc}

    def shown(self, path: str, serve: Serve, *, needs: Permission = Permission.SEE) -> Route:
        """Return the route of a page."""

        async def endpoint(request: Request) -> Response:
            return await to_thread.run_sync(self._answer, request, {}, serve, needs)

        return Route(path, endpoint, methods=["GET"])

    def acted(self, path: str, serve: Serve, *, needs: Permission) -> Route:
        """Return the route of a form."""

        async def endpoint(request: Request) -> Response:
            form = await read_form(request)
            if not self.is_own_form(request.headers):
                return self.refuse(403, "This form was sent from another site.")
            return await to_thread.run_sync(self._answer, request, form, serve, needs)

        return self.form_route(path, endpoint)

    def form_route(self, path: str, endpoint: Callable[[Request], Awaitable[Response]]) -> Route:
        """Return the route of a form that looks after itself."""
        return Route(path, endpoint, methods=["POST"], max_body_size=FORM_BYTES_MAX)

    def token(self, request: Request) -> str:
        """Return what the browser's cookie says; empty where it has none."""
        return request.cookies.get(self.cookie, "")

    def is_own_form(self, headers: Mapping[str, str]) -> bool:
        """Tell whether a form comes from our own pages, or from no browser at all."""
        site, origin = headers.get("sec-fetch-site"), headers.get("origin")
        if site is not None:
            return site == "same-origin"
        # Browsers leave the first out on plain http.
        hosts = {*self._hosts, headers.get("host")}
        return origin is None or urlsplit(origin).netloc in hosts

    def refuse(self, status: int, reason: str) -> Response:
        """Return a page that says no, to anybody."""
        return self.pages.page("refused.html", {"reason": reason, "status": status}, status=status)

    def _answer(self, request: Request, form: Form, serve: Serve, needs: Permission) -> Response:
        try:
            visit = self._enter(request, form)
            if request.method != "GET" and not carries(form, self.token(request)):
                return self.refuse(403, "This form is out of date. Go back and reload.")
            if not may(visit.who.person.role, needs):
                return visit.page("forbidden.html", {"needs": needs}, status=403)
            return serve(visit)
        except Unauthorized:
            return _to_the_way_in(request)
        except DatabaseAway:
            return self.refuse(503, "The database is away. Nothing was changed; try again.")
        except Exception as error:
            # The border of the service: whatever happens inside, a person gets an answer.
            trace_id = current_request_id()
            log.error("console_call_failed", trace_id=trace_id, exc_info=error)
            reason = (
                f"A mistake of ours; nothing half done is kept. The log knows it as {trace_id}."
            )
            return self.refuse(500, reason)

    def _enter(self, request: Request, form: Form) -> Visit:
        context, now = self.context, self.context.clock.now()
        with context.database.snapshot() as session:
            who = signed_in(session, context.vault, self.token(request), now=now)
            unit = session.get_one(SalesUnit, who.msn)
            feed = session.get(Feed, who.msn)
            is_live = LIVE in request.headers
            is_due = not is_live and is_seen_long_ago(session, who, now=now)
        if is_due:
            with context.database.transaction() as session:
                note_seen(session, who, now=now)
        return Visit(
            context=context,
            pages=self.pages,
            who=who,
            unit=unit,
            now=now,
            head=feed.position if feed else 0,
            path=request.url.path,
            address=_address(request),
            query=dict(parse_qsl(request.url.query)),
            parts=request.path_params,
            form=form,
        )


def _address(request: Request) -> str:
    if request.method != "GET":
        return ""
    return f"{request.url.path}?{request.url.query}" if request.url.query else request.url.path


def _to_the_way_in(request: Request) -> Response:
    wanted = quote(request.url.path) if request.method == "GET" else "/console"
    target = f"{SIGN_IN}?next={wanted}"
    if LIVE in request.headers:
        # A redirect would be followed, and the form be put into the middle of the page.
        return Response(status_code=401, headers={"HX-Redirect": target})
    return see_other(target)


def carries(form: Form, token: str) -> bool:
    """Tell whether a form carries what the pages of this session do."""
    return hmac.compare_digest(form.get("csrf", "").encode(), csrf_token(token).encode())


async def read_form(request: Request) -> Form:
    """Return the fields of a form; of two with one name, the last."""
    body = (await request.body()).decode(errors="replace")
    return dict(parse_qsl(body, keep_blank_values=True))
