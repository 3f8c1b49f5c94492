"""The way in and the way out."""

from collections.abc import Callable
from urllib.parse import quote

from anyio import to_thread
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.console.gate import SIGN_IN, Form, Gate, carries, read_form
from service.console.rendering import see_other
from service.errors import DatabaseAway
from service.staff.sessions import ABSOLUTE_END, end_session
from service.staff.signing_in import Claimed, SigningInRefused, sign_in
from service.staff.users import normal_login

HOME = "/console"
# Per process. Whoever guesses gets far fewer than the 2^120 that a password is good for;
# a person who mistypes waits a minute. Nobody is locked out of an account by others for
# longer than that (T36).
_PER_LOGIN = RateLimitItemPerMinute(10)
_PER_ADDRESS = RateLimitItemPerMinute(20)
_WRONG = "This login, password and code don't go together."
_TOO_OFTEN = "Too many tries. Wait a minute, and try again."

Endpoint = Callable[[Request], Response]


def signing_in_routes(gate: Gate) -> list[Route]:
    """Return the routes of signing in and out."""
    door = _Door(gate)
    return [
        Route(SIGN_IN, door.show, methods=["GET"]),
        gate.form_route(SIGN_IN, door.enter),
        gate.form_route("/console/sign-out", door.leave),
    ]


class _Door:
    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._tries = MovingWindowRateLimiter(MemoryStorage())

    async def show(self, request: Request) -> Response:
        return self._page(request.query_params.get("next", HOME))

    async def enter(self, request: Request) -> Response:
        form = await read_form(request)
        wanted = form.get("next", HOME)
        if not self._gate.is_own_form(request.headers):
            return self._gate.refuse(403, "This form was sent from another site.")
        if not self._may_try(request, form):
            return self._page(wanted, problem=_TOO_OFTEN, status=429)
        claimed = Claimed(form.get("login", ""), form.get("password", ""), form.get("code", ""))
        context = self._gate.context
        try:
            token = await to_thread.run_sync(
                lambda: sign_in(context, claimed, now=context.clock.now())
            )
        except SigningInRefused:
            return self._page(wanted, problem=_WRONG, status=401)
        except DatabaseAway:
            return self._gate.refuse(503, "The database is away. Try again.")
        answer = see_other(wanted if _is_ours(wanted) else HOME)
        self._set_cookie(answer, token, max_age=int(ABSOLUTE_END.total_seconds()))
        return answer

    async def leave(self, request: Request) -> Response:
        token, form = self._gate.token(request), await read_form(request)
        if not self._gate.is_own_form(request.headers) or not carries(form, token):
            return self._gate.refuse(403, "This form was sent from another site.")
        await to_thread.run_sync(self._end, token)
        answer = see_other(SIGN_IN)
        self._set_cookie(answer, "", max_age=0)
        return answer

    def _end(self, token: str) -> None:
        with self._gate.context.database.transaction() as session:
            end_session(session, token)

    def _page(self, wanted: str, *, problem: str = "", status: int = 200) -> Response:
        values = {"next": wanted, "problem": problem}
        return self._gate.pages.page("sign_in.html", values, status=status)

    def _may_try(self, request: Request, form: Form) -> bool:
        address = request.client.host if request.client else "unknown"
        login = normal_login(form.get("login", ""))[:100]
        is_known_address = self._tries.hit(_PER_ADDRESS, "address", address)
        return self._tries.hit(_PER_LOGIN, "login", login, address) and is_known_address

    def _set_cookie(self, answer: Response, token: str, *, max_age: int) -> None:
        answer.set_cookie(
            self._gate.cookie,
            token,
            max_age=max_age,
            path="/",
            secure=self._gate.is_https,
            httponly=True,
            samesite="strict",
        )


def _is_ours(path: str) -> bool:
    """Tell whether a path leads to the console, and not to another site by a trick."""
    return (path == HOME or path.startswith((f"{HOME}/", f"{HOME}?"))) and quote(
        path, safe="/?&=%-._~"
    ) == path
