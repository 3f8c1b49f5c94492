"""What a customer does on the page: plain forms, each answered with where to go next."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import date
from functools import partial
from urllib.parse import parse_qsl, urlsplit

from anyio import to_thread
from starlette.responses import Response

from service.awaiting import first_true
from service.context import Context
from service.errors import Conflict, InvalidInput
from service.ledger.at_the_page import pay, put_off, withdraw
from service.ledger.book import Book, write
from service.ledger.consent import consent_on_page
from service.ledger.loaded import live_payment
from service.ledger.returning import came_back
from service.pages.endpoint import Serve, Visit, see_other
from service.pages.look import Found, find
from service.pages.showing import GOING_ON, Showing
from service.store.tables import InvoiceRecord
from statemachine import MachineError

# The words in `actions.html` to which a customer agrees. Other words are another version, so that
# it is known for ever what somebody agreed to; test_wording_is_what_its_version_says holds it.
WORDING = "page-1"

# For so long a click is held; after that the page goes on by itself (contract, section 7).
PAY_WITHIN_S = 10.0
# What a customer who is back from Vipps would wait for a true answer.
BACK_WITHIN_S = 5.0

Form = Mapping[str, str]
Act = Callable[[Book, InvoiceRecord], None]


class Acting:
    """Answer what is done; nothing of it can be undone by reloading."""

    def __init__(self, context: Context, showing: Showing) -> None:
        """Keep what is needed."""
        self._context = context
        self._showing = showing

    def form(self, serve: Callable[[Visit, Form], Awaitable[Response]]) -> Serve:
        """Return the endpoint of a form, which takes nothing from other sites' pages."""

        async def endpoint(visit: Visit) -> Response:
            if not self._is_own_form(visit):
                return see_other(visit.path)
            body = (await visit.request.body()).decode(errors="replace")
            try:
                return await serve(visit, dict(parse_qsl(body)))
            except (Conflict, MachineError):
                # Something else was faster; the page says what it is.
                return see_other(visit.path)

        return endpoint

    async def pay(self, visit: Visit, form: Form) -> Response:
        """Answer `POST …/pay`: 303 to Vipps, or to the page, which goes on by itself."""
        shares, is_instead = form.get("share") == "yes", form.get("instead") == "yes"
        wording = WORDING if shares else None
        await self._do(visit, partial(pay, wording=wording, is_instead=is_instead))
        way_on = await first_true(self._context, partial(self._way_on, visit), wait_s=PAY_WITHIN_S)
        return see_other(way_on or visit.path + GOING_ON)

    async def put_off(self, visit: Visit, form: Form) -> Response:
        """Answer `POST …/later`, with or without a day."""
        try:
            day = date.fromisoformat(text) if (text := form.get("day", "")) else None
            await self._do(visit, partial(put_off, day=day))
        except (InvalidInput, ValueError):
            return self._showing.page(visit, status=422, problem="day")
        return see_other(visit.path)

    async def withdraw(self, visit: Visit, form: Form) -> Response:
        """Answer `POST …/withdraw`: nothing more is sent to the customer's app."""
        await self._do(visit, withdraw)
        return see_other(visit.path)

    async def agree(self, visit: Visit, form: Form) -> Response:
        """Answer `POST …/agree`: whose number is known may be asked in the app again."""
        await self._do(visit, partial(consent_on_page, wording=WORDING))
        return see_other(visit.path)

    async def come_back(self, visit: Visit) -> Response:
        """Answer `GET …/back`, where Vipps sends the customer: the page, once a read is in."""
        await self._do(visit, came_back)
        await first_true(self._context, partial(self._is_read, visit), wait_s=BACK_WITHIN_S)
        return see_other(visit.path)

    async def _do(self, visit: Visit, act: Act) -> None:
        def work(book: Book) -> None:
            book.load([visit.found.invoice.id])
            act(book, book.invoice(visit.found.invoice.id))

        await to_thread.run_sync(write, self._context, work)

    def _way_on(self, visit: Visit) -> str | None:
        return self._showing.way_on(self._find(visit), visit.path)

    def _is_read(self, visit: Visit) -> bool:
        live = live_payment(self._find(visit).payments)
        return live is None or live.returned_by is None

    def _find(self, visit: Visit) -> Found:
        with self._context.database.snapshot() as session:
            return find(session, visit.token) or visit.found

    def _is_own_form(self, visit: Visit) -> bool:
        """Tell whether a form was sent by our own page; the token alone would do, too.

        Since the page tells nobody where it is, browsers say `null` of where our forms are from."""
        headers = visit.request.headers
        site, origin = headers.get("sec-fetch-site"), headers.get("origin")
        if site is not None:
            return site == "same-origin"
        hosts = (headers.get("host"), urlsplit(self._context.settings.base_url).netloc)
        return origin in (None, "null") or urlsplit(origin).netloc in hosts
