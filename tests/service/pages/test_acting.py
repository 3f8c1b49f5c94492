"""What the forms of the page do, refuse and answer; the stories are in test_stories.py."""

import asyncio
from datetime import date
from typing import Any

import httpx
import pytest

from service.ledger.book import Book
from service.pages import acting
from service.store.tables import CommandAttempt, Customer, InvoiceRecord, PaymentRecord
from tests.builders import ONLY_SQLITE, REFERENCE, VippsPayment
from tests.service.pages.visiting import BASE_URL, Visitor

pytestmark = [pytest.mark.anyio, ONLY_SQLITE]

VIPPS_PAGE = "https://pay.vipps.no/landing?token=abc"
OURS = {"Sec-Fetch-Site": "same-origin", "Origin": "null", "Accept-Language": "en"}


async def press(visitor: Visitor, name: str, form: Any = None, **headers: str) -> httpx.Response:
    """Send one of the page's forms."""
    path = f"{visitor.path()}/{name}"
    return await visitor.client.post(path, data=form or {}, headers=OURS | headers)


def answer_create(visitor: Visitor, url: str | None = VIPPS_PAGE) -> None:
    """Let Vipps have made the payment that was asked for."""

    def work(book: Book, invoice: InvoiceRecord, payment: PaymentRecord) -> None:
        if url is not None:
            place = f"payment:{payment.id}:redirect_url"
            payment.redirect_url = book.vault.seal(url.encode(), place=place)
        book.touch(invoice, payment)

    visitor.desk.change(work)
    visitor.desk.report(VippsPayment().happens("CREATED"))
    visitor.desk.settle_commands()


async def test_click_is_held_until_vipps_is_ready(visitor: Visitor) -> None:
    """The customer goes straight to Vipps, with one press."""
    visitor.bill()
    pressed = asyncio.create_task(press(visitor, "pay", {"share": "yes"}))
    while not visitor.desk.commands("create_payment"):  # noqa: ASYNC110 - another thread commits
        await asyncio.sleep(0.01)

    answer_create(visitor)
    answer = await pressed

    assert (answer.status_code, answer.headers["location"]) == (303, VIPPS_PAGE)
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert visitor.desk.payment().sharing == acting.WORDING


async def test_slow_vipps_is_waited_for_on_the_page(
    visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page goes on by itself, with a script and without one."""
    monkeypatch.setattr(acting, "PAY_WITHIN_S", 0.05)
    visitor.bill()

    answer = await press(visitor, "pay", {"share": "yes"})
    waiting = await visitor.client.get(answer.headers["location"])
    answer_create(visitor)
    ready = await visitor.client.get(answer.headers["location"])

    assert answer.headers["location"] == f"{visitor.path()}?go=1"
    assert '<noscript><meta http-equiv="refresh"' in waiting.text
    assert "data-goes-on" in waiting.text
    assert f'<a href="{visitor.path()}?go=1">' in waiting.text
    assert ready.headers["location"] == VIPPS_PAGE


async def test_payment_that_vipps_refuses_is_said_on_the_page(visitor: Visitor) -> None:
    """Nobody waits for a payment that will not be made."""
    visitor.bill()
    pressed = asyncio.create_task(press(visitor, "pay", {"share": "no"}))
    while not visitor.desk.commands("create_payment"):  # noqa: ASYNC110 - another thread commits
        await asyncio.sleep(0.01)

    def refuse(book: Book, invoice: InvoiceRecord, payment: PaymentRecord) -> None:
        payment.state = "refused"
        book.touch(invoice, payment)

    visitor.desk.change(refuse)
    answer = await pressed

    assert answer.headers["location"] == visitor.path()
    page = await visitor.look()
    assert "could not start the payment" in page
    assert 'id="pay"' in page


@pytest.mark.parametrize(
    ("headers", "is_ours"),
    [
        ({"Sec-Fetch-Site": "same-origin", "Origin": "null"}, True),
        ({"Origin": "null"}, True),  # a browser that says no site, from a page that hides itself
        ({"Origin": BASE_URL}, True),
        ({"Origin": "http://127.0.0.1:8080"}, True),  # the public address, behind a proxy
        ({}, True),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "null"}, False),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Origin": "https://evil.example"}, False),
        ({"Origin": f"{BASE_URL}.evil.example"}, False),
    ],
)
async def test_other_sites_press_no_buttons(
    visitor: Visitor, headers: dict[str, str], is_ours: bool
) -> None:
    """A form on another page changes nothing here."""
    visitor.desk.create()
    visitor.desk.report(VippsPayment().happens("CREATED"))

    answer = await visitor.client.post(f"{visitor.path()}/later", headers=headers)

    assert answer.headers["location"] == visitor.path()
    assert (visitor.desk.invoice().state == "soft_dismissed") is is_ours


async def test_chosen_day_is_kept_and_shown(visitor: Visitor) -> None:
    """The customer reads when they will be asked, and can choose again."""
    visitor.desk.create(due_date=date(2026, 12, 1))
    visitor.desk.report(VippsPayment().happens("CREATED"))

    answer = await press(visitor, "later", {"day": "2026-11-26"})
    page = await visitor.look()

    assert answer.status_code == 303
    assert visitor.desk.invoice().ask_on == date(2026, 11, 26)
    assert "We will ask you again in Vipps on 26 November 2026" in page
    assert 'min="2026-11-23" max="2026-12-01" value="2026-11-26"' in page


@pytest.mark.parametrize("day", ["2026-11-22", "2026-12-02", "tomorrow", "9999-99-99", "\0"])
async def test_impossible_day_is_refused_beside_its_field(visitor: Visitor, day: str) -> None:
    """What can't be is said where it was asked, and nothing has changed."""
    visitor.desk.create(due_date=date(2026, 12, 1))
    visitor.desk.report(VippsPayment().happens("CREATED"))

    answer = await press(visitor, "later", {"day": day})

    assert answer.status_code == 422
    assert "We can't ask you on that day" in answer.text
    assert visitor.desk.invoice().state == "pushed"


async def test_who_is_not_known_keeps_the_link(visitor: Visitor) -> None:
    """Nobody is promised to be asked in an app that is not known."""
    visitor.bill()

    page = await visitor.look()

    assert "Keep the link to this page" in page
    assert 'type="date"' not in page
    assert "%2Fi%2F" not in page


async def test_consent_is_taken_back_and_given_again_on_the_page(visitor: Visitor) -> None:
    """Whoever holds the link can end what the merchant may do, and allow it again."""
    visitor.desk.create(push=False)

    given = await visitor.look()
    await press(visitor, "withdraw")
    withdrawn = await visitor.look()
    consent = visitor.desk.all(Customer)[0].consent
    visitor.desk.later(minutes=1)
    await press(visitor, "agree")
    again = visitor.desk.all(Customer)[0].consent

    assert ['id="withdraw"' in page for page in (given, withdrawn)] == [True, False]
    assert "withdrawnAt" in consent
    assert (again["source"], again["wording"]) == ("page", acting.WORDING)
    assert "customer.withdrawn" in visitor.desk.told_types()
    assert "customer.consented" in visitor.desk.told_types()


async def test_withdrawing_ends_the_chosen_day(visitor: Visitor) -> None:
    """Who says that nothing shall be sent is not asked on Friday either."""
    visitor.desk.create(push=False, due_date=date(2026, 12, 1))
    await press(visitor, "later", {"day": "2026-11-26"})

    await press(visitor, "withdraw")

    assert visitor.desk.invoice().ask_on is None


async def test_opening_a_page_has_vipps_read_and_moves_nothing(visitor: Visitor) -> None:
    """While somebody looks, Vipps is asked; but not more often than every two seconds."""
    visitor.desk.create()
    vipps = VippsPayment()
    visitor.desk.report(vipps.happens("CREATED"))
    visitor.desk.settle_commands()
    visitor.desk.read(vipps)
    (waiting,) = visitor.desk.commands("read_payment")
    visitor.desk.later(seconds=-1)  # the read that confirms is a second away
    before = waiting.next_attempt_at

    await visitor.look()
    (hastened,) = visitor.desk.commands("read_payment")

    assert hastened.next_attempt_at < before
    assert visitor.desk.history(REFERENCE)[-1] == "push>pushed by webhook"
    assert visitor.desk.invoice().sequence == 2


async def test_page_that_was_just_read_is_not_read_again(visitor: Visitor) -> None:
    """A page that is open for hours takes no more of Vipps than Vipps's own guideline."""
    visitor.desk.create()
    visitor.desk.report(VippsPayment().happens("CREATED"))
    with visitor.desk.context.database.transaction() as session:
        read = visitor.desk.commands("read_payment")[0]
        row: dict[str, Any] = {"command_id": read.id, "payment_id": read.payment_id}
        session.add(CommandAttempt(number=1, kind=read.kind, started_at=visitor.desk.now(), **row))
    due_at = read.next_attempt_at

    await visitor.client.get(visitor.path() + "/state")
    just_now = visitor.desk.commands("read_payment")[0].next_attempt_at
    visitor.desk.later(seconds=3)
    await visitor.client.get(visitor.path() + "/state")

    assert just_now == due_at


async def test_return_from_vipps_waits_for_what_it_says(visitor: Visitor) -> None:
    """Who is back reads the truth at once, in whichever browser."""
    visitor.bill()
    pressed = asyncio.create_task(press(visitor, "pay", {"share": "no"}))
    while not visitor.desk.commands("create_payment"):  # noqa: ASYNC110 - another thread commits
        await asyncio.sleep(0.01)
    answer_create(visitor)
    await pressed
    vipps = VippsPayment()
    vipps.happens("CREATED", "AUTHORIZED")

    back = asyncio.create_task(visitor.client.get(f"{visitor.path()}/back"))
    while visitor.desk.payment().returned_by is None:  # noqa: ASYNC110 - another thread commits
        await asyncio.sleep(0.01)
    visitor.desk.read(vipps)
    answer = await back

    assert (answer.status_code, answer.headers["location"]) == (303, visitor.path())
    assert "You have approved" in await visitor.look()
