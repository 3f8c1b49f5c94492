"""The phone at `/phone`: what the customer sees and taps, as plain pages and forms.

A person's phone shows the payments that name their number, and those they opened by a
link. Nothing here is protected: whoever reaches the sandbox may pick up any phone.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from service.sandbox import payments
from service.sandbox.approval import approve
from service.sandbox.payments import Payment, State
from service.sandbox.phone_book import PhoneBook, check_number, path_of, read_number
from service.sandbox.phone_news import News
from service.sandbox.phone_views import phone_time, return_url
from service.sandbox.problems import Refused
from service.sandbox.rendering import Form, Pages, Serve, see_other
from service.sandbox.world import World

# More than anyone scrolls through.
_ENDED_MAX = 20

_HOME = "/phone/{phone_number}"
_ONE = _HOME + "/payments/{msn}/{reference}"


class Phone:
    """Serve everybody's phone."""

    def __init__(self, world: World, pages: Pages, *, book: PhoneBook, news: News) -> None:
        self._world = world
        self._pages = pages
        self._book = book
        self._news = news
        world.watch(lambda payment: news.tell(book.owner(payment)))
        world.clock.watch(news.tell_all)

    def routes(self) -> list[Route]:
        """Return the routes; those below another path of `/phone` must stand before."""
        shown, acted = self._pages.shown, self._pages.acted
        return [
            shown("/phone", self._choose),
            shown(_HOME, self._home),
            Route(_HOME + "/news", self._stream, methods=["GET"]),
            shown(_ONE, self._one("sheet.html")),
            shown(_ONE + "/cancel", self._while_waiting("cancel.html")),
            shown(_ONE + "/consent", self._while_waiting("consent.html")),
            shown(_ONE + "/details", self._details),
            shown(_ONE + "/return", self._return),
            acted(_ONE + "/details", self._open_details),
            acted(_ONE + "/pay", self._pay),
            acted(_ONE + "/consent", self._answer_consent),
            acted(_ONE + "/cancel", self._answer_cancel),
        ]

    def _choose(self, request: Request, form: Form) -> Response:
        typed, refused = request.query_params.get("number"), None
        if typed is not None:
            try:
                return see_other(f"/phone/{read_number(typed)}")
            except Refused as error:
                refused = error
        values = {"people": self._book.people(), "refused": refused, "typed": typed or ""}
        return self._pages.page("choose.html", values, status=refused.status if refused else 200)

    def _home(self, request: Request, form: Form) -> Response:
        number = _number(request)
        found = self._book.payments_of(number)
        cards = [self._book.card(payment, path_of(payment, number)) for payment in found]
        waiting = [card for card in cards if card.is_waiting]
        values = {
            "banners": [card for card in waiting if not card.is_postponed],
            "postponed": [card for card in waiting if card.is_postponed],
            "ended": [card for card in cards if not card.is_waiting][:_ENDED_MAX],
        }
        return self._pages.page("home.html", self._phone(number) | values)

    async def _stream(self, request: Request) -> Response:
        try:
            number = _number(request)
        except Refused as refused:
            return Response(status_code=refused.status)
        stream = self._news.stream(number, lambda: self._book.version_of(number))
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(stream, media_type="text/event-stream", headers=headers)

    def _one(self, template: str) -> Serve:
        def serve(request: Request, form: Form) -> Response:
            return self._pages.page(template, self._values(request))

        return serve

    def _while_waiting(self, template: str) -> Serve:
        def serve(request: Request, form: Form) -> Response:
            values = self._values(request)
            is_waiting = values["card"].is_waiting
            return self._pages.page(template if is_waiting else "sheet.html", values)

        return serve

    def _details(self, request: Request, form: Form) -> Response:
        # What is framed may lead on to anywhere on the web; the frame itself is sandboxed.
        return self._pages.page("details.html", self._values(request), frames="https: http:")

    def _return(self, request: Request, form: Form) -> Response:
        values = self._values(request)
        if values["return_url"] is None:
            return see_other(values["card"].path)
        return self._pages.page("return.html", values)

    def _open_details(self, request: Request, form: Form) -> Response:
        payment = self._payment(request)
        self._world.record(replace(payment, details_opened=payment.details_opened + 1))
        return see_other(path_of(payment, _number(request)) + "/details")

    def _pay(self, request: Request, form: Form) -> Response:
        payment, number = self._payment(request), _number(request)
        if payment.scope and payment.state is State.CREATED:
            return see_other(path_of(payment, number) + "/consent")
        return self._settle(request, self._approve)

    def _answer_consent(self, request: Request, form: Form) -> Response:
        # All or nothing: who does not share does not pay either.
        return self._settle(request, self._approve if form.get("share") == "yes" else self._abort)

    def _answer_cancel(self, request: Request, form: Form) -> Response:
        if form.get("answer") == "later":
            return self._settle(request, self._postpone)
        return self._settle(request, self._abort)

    def _approve(self, payment: Payment, phone_number: str) -> None:
        approve(self._world, payment, phone_number=phone_number)

    def _abort(self, payment: Payment, phone_number: str) -> None:
        self._world.record(payments.aborted(payment, self._world.clock.now()))

    def _postpone(self, payment: Payment, phone_number: str) -> None:
        self._world.record(payments.postponed(payment))

    def _settle(self, request: Request, act: Callable[[Payment, str], None]) -> Response:
        payment, number = self._payment(request), _number(request)
        try:
            act(payment, number)
        except Refused as refused:
            values = self._values(request) | {"refused": refused}
            return self._pages.page("sheet.html", values, status=409)
        if return_url(payment) is not None:
            # Whether the app goes back after "I'll pay later" is not documented; ours does,
            # since who came by a link has the merchant's page still open.
            return see_other(path_of(payment, number) + "/return")
        is_later = act == self._postpone
        return see_other(f"/phone/{number}" if is_later else path_of(payment, number))

    def _payment(self, request: Request) -> Payment:
        named = request.path_params
        return self._book.payment(named["msn"], named["reference"], phone_number=_number(request))

    def _values(self, request: Request) -> dict[str, Any]:
        payment, number = self._payment(request), _number(request)
        return self._phone(number) | {
            "card": self._book.card(payment, path_of(payment, number)),
            "return_url": return_url(payment),
            "refused": None,
        }

    def _phone(self, number: str) -> dict[str, Any]:
        return {
            "person": self._book.person(number),
            "time": phone_time(self._world.clock.now()),
            "version": self._book.version_of(number),
        }


def _number(request: Request) -> str:
    return check_number(request.path_params["phone_number"])
