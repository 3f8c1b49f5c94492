"""Every state has its own words, and a customer never reads those of another."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from service.ledger import acts
from service.ledger.book import Book
from service.ledger.elsewhere import PaidElsewhere, paid_elsewhere
from service.ledger.types import Ask
from service.store.tables import InvoiceRecord
from tests.builders import AMOUNT, ONLY_SQLITE, VippsPayment
from tests.service.pages.visiting import Visitor

pytestmark = [pytest.mark.anyio, ONLY_SQLITE]

CAPTURED = ("CREATED", "AUTHORIZED", "CAPTURED")


def _title(page: str) -> str:
    return page.split('<h2 id="standing-title">')[1].split("</h2>")[0]


@pytest.mark.parametrize(
    ("names", "title"),
    [
        ((), "One moment"),
        (("CREATED",), "Waiting in your Vipps app"),
        (("CREATED", "AUTHORIZED"), "Thank you"),
        (("CREATED", "ABORTED"), "You said no"),
        (("CREATED", "EXPIRED"), "You can pay later"),
        (("CREATED", "TERMINATED"), "Withdrawn"),
        (CAPTURED, "Paid. Thank you"),
        (("CREATED", "AUTHORIZED", "CANCELLED"), "Cancelled"),
        ((*CAPTURED, "REFUNDED"), "Paid back"),
    ],
)
async def test_state_is_told_in_its_own_words(
    visitor: Visitor, names: tuple[str, ...], title: str
) -> None:
    """What Vipps has said is what the customer reads."""
    visitor.desk.create()
    vipps = VippsPayment()
    for name in names:
        visitor.desk.report(vipps.happens(name))

    assert _title(await visitor.look()) == title


async def test_parts_of_the_money_are_told_as_parts(visitor: Visitor) -> None:
    """Who was charged half reads how much, and what becomes of the rest."""
    visitor.desk.create()
    vipps = VippsPayment()
    visitor.desk.report(vipps.happens("CREATED"), vipps.happens("AUTHORIZED"))
    visitor.desk.report(vipps.happens("CAPTURED", amount_minor=50_000))
    half = await visitor.look()
    visitor.desk.report(vipps.happens("CANCELLED", amount_minor=AMOUNT - 50_000))
    released = await visitor.look()
    visitor.desk.report(vipps.happens("REFUNDED", amount_minor=20_000))
    back = await visitor.look()

    assert "NOK\xa0500.00 of the NOK\xa02,000.00 that you approved" in half
    assert "NOK\xa01,500.00 is still set aside" in half
    assert "The rest is yours again" in released
    assert _title(back) == "Paid back in part"
    assert "NOK\xa0200.00 of NOK\xa0500.00" in back


async def test_past_and_failed_invoices_say_what_to_do(visitor: Visitor) -> None:
    """Nobody is left with a page that only says no."""
    visitor.bill()
    visitor.desk.later(days=15)

    page = await visitor.look()

    assert _title(page) == "The time to pay here has passed"
    assert "Please contact Acme to pay another way" in page


def _pay_elsewhere(book: Book, invoice: InvoiceRecord, ask: Ask) -> None:
    paid_elsewhere(book, invoice, ask, PaidElsewhere("bank"))


@pytest.mark.parametrize(
    ("act", "names", "title"),
    [
        (_pay_elsewhere, (), "Already paid"),
        (_pay_elsewhere, ("CREATED", "AUTHORIZED"), "Already paid"),
        (acts.cancel, ("CREATED",), "Being withdrawn"),
        (acts.soft_dismiss, ("CREATED",), "Waiting in your Vipps app"),
    ],
)
async def test_what_the_merchant_did_is_told(
    visitor: Visitor,
    act: Callable[[Book, InvoiceRecord, Ask], None],
    names: tuple[str, ...],
    title: str,
) -> None:
    """A customer does not pay what the merchant no longer wants."""
    visitor.desk.create()
    vipps = VippsPayment()
    for name in names:
        visitor.desk.report(vipps.happens(name))
    visitor.desk.act(act)

    page = await visitor.look()

    assert _title(page) == title
    assert ("given back" in page) == ("AUTHORIZED" in names)


async def test_replaced_invoice_sends_to_the_new_one(visitor: Visitor) -> None:
    """Of a wrong invoice and its correction, the customer pays one."""
    visitor.bill()
    visitor.bill(reference="acme-2026-000124", terms={"replaces": "acme-2026-000123"})

    assert _title(await visitor.look()) == "Replaced by a new invoice"
    assert _title(await visitor.look("acme-2026-000124")) == "Not paid yet"


async def test_late_payment_is_marked_and_a_paid_one_is_not(visitor: Visitor) -> None:
    """Overdue is what can still be paid, after its day."""
    today = visitor.desk.now().date()
    until = visitor.desk.now() + timedelta(days=9)
    visitor.desk.create(due_date=today, payable_until=until)
    vipps = VippsPayment()
    visitor.desk.report(vipps.happens("CREATED"))
    on_the_day = await visitor.look()
    visitor.desk.later(days=1)
    after = await visitor.look()
    visitor.desk.report(vipps.happens("AUTHORIZED"))
    paid = await visitor.look()

    assert ["Overdue" in page for page in (on_the_day, after, paid)] == [False, True, False]
    assert "Can be paid here until" in after
