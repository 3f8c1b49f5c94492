"""The page that a payment's link opens: whose phone shall pay?"""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.sandbox import payments
from service.sandbox.payments import Payment, State
from service.sandbox.phone_book import PhoneBook, path_of, read_number
from service.sandbox.phone_news import News
from service.sandbox.phone_views import return_url, shown_number
from service.sandbox.problems import Refused, refusal
from service.sandbox.rendering import Form, Pages, see_other
from service.sandbox.world import World


class Landing:
    """Serve the links of payments that were not sent to a phone."""

    def __init__(self, world: World, pages: Pages, *, book: PhoneBook, news: News) -> None:
        self._world = world
        self._pages = pages
        self._book = book
        self._news = news

    def routes(self) -> list[Route]:
        """Return the routes; they must stand before those of the phones."""
        return [
            self._pages.shown("/phone/landing", self._show),
            self._pages.shown("/phone/qr", self._show),
            self._pages.acted("/phone/landing", self._enter),
        ]

    def _show(self, request: Request, form: Form) -> Response:
        payment = self._book.payment_of_token(request.query_params.get("token", ""))
        number = self._book.owner(payment)
        return self._page(payment, typed=shown_number(number) if number else "")

    def _page(self, payment: Payment, *, typed: str, refused: Refused | None = None) -> Response:
        values = {
            "card": self._book.card(payment, "/phone/landing"),
            "token": payment.redirect_token,
            "return_url": return_url(payment),
            "is_scanned": payment.request["userFlow"] == "QR",
            "typed": typed,
            "refused": refused,
        }
        return self._pages.page("landing.html", values, status=refused.status if refused else 200)

    def _enter(self, request: Request, form: Form) -> Response:
        payment, typed = self._book.payment_of_token(form.get("token", "")), form.get("number", "")
        if payment.state is not State.CREATED:
            return see_other(_path(payment))
        if form.get("answer") == "cancel":
            self._world.record(payments.aborted(payment, self._world.clock.now()))
            return see_other(_path(payment))
        try:
            number = self._user_number(typed)
        except Refused as refused:
            return self._page(payment, typed=typed, refused=refused)
        self._book.claim(payment, number)
        self._news.tell(number)
        return see_other(path_of(payment, number))

    def _user_number(self, typed: str) -> str:
        number = read_number(typed)
        if not self._world.person(number).is_user:
            raise refusal(7010)
        return number


def _path(payment: Payment) -> str:
    return f"/phone/landing?token={payment.redirect_token}"
