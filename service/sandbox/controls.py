"""The page at `/sandbox`: the clock, chaos, the last payments and what really happened.

Its forms do what the calls below `/sandbox` do, for people who would rather click.
"""

from collections.abc import Callable, Mapping
from heapq import nlargest
from itertools import islice
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.sandbox import payments
from service.sandbox.acts import ADVANCE_MAX_S
from service.sandbox.approval import approve
from service.sandbox.chaos import plan_answer, plan_of
from service.sandbox.clock import as_text
from service.sandbox.fields import is_number
from service.sandbox.payments import Payment
from service.sandbox.phone_book import PhoneBook, path_of
from service.sandbox.phone_views import money
from service.sandbox.problems import Fault, Refused, bad_fields, plain
from service.sandbox.rendering import Form, Pages, see_other
from service.sandbox.world import World

# As many as a person reads; the calls below `/sandbox` list all.
_PAYMENTS_MAX = 20
_EFFECTS_MAX = 30

_JUMPS = (
    ("+10 minutes", 600),
    ("+1 hour", 3_600),
    ("+1 day", 86_400),
    ("+7 days", 604_800),
)
_UNITS_S = {"minutes": 60, "hours": 3_600, "days": 86_400}
_SHARES = {
    "lose": "Webhooks lost",
    "duplicate": "Webhooks sent twice",
    "reorder": "Webhooks out of order",
    "status429": "Calls answered 429",
    "status5xx": "Calls answered 500 or 503",
    "timeoutAfterActing": "Calls done but never answered",
}


class Controls:
    """Serve the page from which a tester moves the sandbox's world."""

    def __init__(self, world: World, pages: Pages, book: PhoneBook) -> None:
        self._world = world
        self._pages = pages
        self._book = book
        self._acts: Mapping[str, Callable[[Payment], object]] = {
            "approve": lambda payment: approve(world, payment, phone_number=book.owner(payment)),
            "reject": lambda payment: world.record(payments.aborted(payment, world.clock.now())),
            "postpone": lambda payment: world.record(payments.postponed(payment)),
        }

    def routes(self) -> list[Route]:
        """Return the routes, none of which catches more than its own path."""
        one = "/sandbox/controls/payments/{msn}/{reference}"
        return [
            self._pages.shown("/sandbox", lambda request, form: self._page()),
            self._acted("/sandbox/controls/clock", self._turn_clock),
            self._acted("/sandbox/controls/chaos", self._set_chaos),
            self._acted(one, self._act),
        ]

    def _acted(self, path: str, act: Callable[[Request, Form], str]) -> Route:
        def serve(request: Request, form: Form) -> Response:
            try:
                return see_other(f"/sandbox#{act(request, form)}")
            except Refused as refused:
                return self._page(refused)

        return self._pages.acted(path, serve)

    def _turn_clock(self, request: Request, form: Form) -> str:
        amount, unit_s = _number(form.get("amount", "")), _UNITS_S.get(form.get("unit", ""), 1)
        seconds = amount * unit_s if isinstance(amount, int | float) else amount
        if not is_number(seconds, most=ADVANCE_MAX_S):
            raise bad_fields([Fault("amount", "Must be a number of at most a year, and not back.")])
        self._world.advance(seconds)
        return "clock"

    def _set_chaos(self, request: Request, form: Form) -> str:
        if form.get("answer") == "calm":
            self._world.follow(plan_of({}))
        else:
            filled = {name: _number(text) for name, text in form.items() if text != ""}
            self._world.follow(plan_of(filled))
        return "chaos"

    def _act(self, request: Request, form: Form) -> str:
        named = request.path_params
        payment = self._world.payment(named["msn"], named["reference"])
        act = self._acts.get(form.get("act", ""))
        if payment is None or act is None:
            raise plain(404, "There is no such payment, or nothing of that name to do with it.")
        try:
            act(payment)
        except Refused as refused:
            # As below `/sandbox`: whatever the rule, to a tester it is "not possible now".
            raise Refused(
                409, refused.title, detail=refused.detail, faults=refused.faults
            ) from refused
        return "payments"

    def _page(self, refused: Refused | None = None) -> Response:
        world = self._world
        world.expire_due()
        plan = plan_answer(world.chaos.plan)
        values = {
            "refused": refused,
            "now": as_text(world.clock.now()),
            "ahead": _ahead(world.clock.offset.total_seconds()),
            "jumps": _JUMPS,
            "units": list(_UNITS_S),
            "shares": [(name, words, plan[name]) for name, words in _SHARES.items()],
            "delay_s": plan["delaySeconds"],
            "seed": plan["seed"],
            "is_calm": not any(plan[name] for name in (*_SHARES, "delaySeconds")),
            "payments": [self._row(payment) for payment in self._last_payments()],
            "payments_count": len(world.payments.rows),
            "effects": list(islice(reversed(world.effects.rows.values()), _EFFECTS_MAX)),
            "money": money,
        }
        return self._pages.page("controls.html", values, status=refused.status if refused else 200)

    def _last_payments(self) -> list[Payment]:
        found = self._world.payments.rows.values()
        return nlargest(_PAYMENTS_MAX, found, key=lambda payment: payment.events[0].occurred_at)

    def _row(self, payment: Payment) -> dict[str, Any]:
        number, token = self._book.owner(payment), payment.redirect_token
        page = "qr" if payment.request["userFlow"] == "QR" else "landing"
        return {
            "card": self._book.card(payment, path_of(payment, number) if number else ""),
            "msn": payment.msn,
            "number": number,
            "link": f"/phone/{page}?token={token}" if token else None,
            "details_opened": payment.details_opened,
        }


def _number(text: str) -> int | float | str:
    """Return the number that was typed, or the text itself to be refused by name."""
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text.replace(",", "."))
    except ValueError:
        return text


def _ahead(seconds: float) -> str:
    days, rest = divmod(int(seconds), 86_400)
    return f"{days} d {rest // 3600} h {rest % 3600 // 60} min"
