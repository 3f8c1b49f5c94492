"""What the list finds, in which order, and what goes out as a file: a page at a time."""

import re
from datetime import date

import pytest

from service.console import asked as asking
from service.ledger.book import write
from service.ledger.invoices import create_invoice
from tests.builders import MSN, ONLY_SQLITE, OTHER_MSN, PHONE, THE_MERCHANT, an_invoice
from tests.service.console.conftest import Desk
from tests.service.console.test_invoices import form_of, found, named
from tests.service.console.test_overview import send

# Reference, amount, due: made in this order.
_BILLS = (
    ("acme-b-01", 30_000, date(2026, 12, 3)),
    ("acme-c-02", 10_000, None),
    ("acme-a-03", 20_000, date(2026, 12, 1)),
    ("acme-d-04", 10_000, date(2026, 12, 2)),
)


def bill(desk: Desk, reference: str, msn: str = MSN, **changed: object) -> None:
    """Make an invoice that nobody is asked for."""
    new = an_invoice(reference=reference, push=False, **changed)
    write(desk.context, lambda book: create_invoice(book, msn, new, THE_MERCHANT))


def test_orders_hold_across_pages(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each invoice stands once, however small the pages; without a due date it is not due."""
    monkeypatch.setattr(asking, "PAGE_LENGTH", 1)
    for reference, amount, due in _BILLS:
        bill(desk, reference, amount_minor=amount, due_date=due)
    bill(desk, "other-x-01", OTHER_MSN)
    desk.sign_in()

    walked = {sort: walk(desk, f"/console/invoices?sort={sort}") for sort in asking.SORTS}

    assert walked == {
        "newest": "d a c b",
        "oldest": "b c a d",
        "highest": "b a d c",
        "lowest": "c d a b",
        "due": "a d b",
        "due-last": "b d a",
        "reference": "a b c d",
    }


def walk(desk: Desk, link: str) -> str:
    """Return the letters of all that is found, from page to page."""
    walked = []
    while link:
        page = desk.http.get(link).text
        walked += named(page)
        more = re.search(r'class="more" href="([^"]*)"', page)
        link = more[1].replace("&amp;", "&") if more else ""
    return " ".join(reference.split("-")[1] for reference in walked)


@ONLY_SQLITE
def test_filters_fit_together(desk: Desk) -> None:
    """Days, days due, amounts; what can't be read is said and hides nothing."""
    for reference, amount, due in _BILLS:
        bill(desk, reference, amount_minor=amount, due_date=due)
    desk.sign_in()

    assert found(desk, **{"due-from": "2026-12-02"}) == ["acme-d-04", "acme-b-01"]
    assert found(desk, **{"due-to": "2026-12-01"}) == ["acme-a-03"]
    assert found(desk, amount="100,00") == ["acme-d-04", "acme-c-02"]
    assert found(desk, amount="100.00", **{"due-from": "2026-12-01"}) == ["acme-d-04"]
    for wrong in ("amount=much", "after=inv", "after=x~inv_1&sort=due", "due-to=2026-02-30"):
        answer = desk.http.get(f"/console/invoices?{wrong}")
        assert (answer.status_code, len(named(answer.text))) == (422, 4), wrong


@ONLY_SQLITE
def test_word_is_looked_for_piece_by_piece(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page says how far it has come, and goes on from there until all was looked through."""
    monkeypatch.setattr(asking, "LOOKED_THROUGH", 2)
    bill(desk, "acme-0001", description="The needle")
    for number in range(2, 7):
        bill(desk, f"acme-{number:04}")
    desk.sign_in()
    looks, link = 0, "/console/invoices?q=NEEDLE"
    while link and looks < 9:
        page = desk.http.get(link).text
        looks += 1
        more = re.search(r'class="more" href="([^"]*)">Look further', page)
        link = more[1].replace("&amp;", "&") if more else ""

    assert looks in (3, 4)
    assert "acme-0001" in page or "Look further" not in page


@ONLY_SQLITE
@pytest.mark.parametrize(
    ("typed", "target"),
    [
        ("acme-2026-000123", "/console/invoices/acme-2026-000123"),
        ("2000,00", "/console/invoices?amount=2000%2C00"),
        ("insurance", "/console/invoices?q=insurance"),
        ("123", "/console/invoices?q=123"),
        ("", "/console/invoices"),
    ],
)
def test_one_field_takes_whatever_one_has(desk: Desk, typed: str, target: str) -> None:
    """A whole reference opens the invoice; an amount, a word, a number lead to the list."""
    bill(desk, "acme-2026-000123")
    desk.sign_in()

    answer = desk.http.post("/console/search", data=form_of(desk, "/console/invoices", q=typed))

    assert (answer.status_code, answer.headers["location"]) == (303, target)


@ONLY_SQLITE
def test_number_leads_to_its_customer_of_this_sales_unit(desk: Desk) -> None:
    """Not to another's, whose number it is too."""
    bill(desk, "other-0001", OTHER_MSN)
    desk.sign_in()
    form = form_of(desk, "/console/invoices", q=f"+{PHONE}")
    before = desk.http.post("/console/search", data=form)
    bill(desk, "acme-0001")

    after = desk.http.post("/console/search", data=form)

    assert (before.status_code, named(before.text)) == (200, [])
    assert re.fullmatch(r"/console/invoices\?customer=cus_\w+", after.headers["location"])
    assert named(desk.http.get(after.headers["location"]).text) == ["acme-0001"]


def test_export_holds_all_of_it_and_no_formula(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every invoice in the list's order, one line each, in as many pieces as it takes (T39)."""
    monkeypatch.setattr("service.console.exporting.PIECE_ROWS", 2)
    hostile = ("=1+1", "+1", "-1", "@SUM(1)", "\uff1d1", "plain\r\n=2", 'Åse, "Ås"')
    for number, text in enumerate(hostile):
        bill(desk, f"acme-{number:04}", description=text.ljust(3, "!"))
    send(desk, "other-0001", msn=OTHER_MSN)
    desk.sign_in()

    answer = desk.http.get("/console/invoices.csv?sort=oldest")

    lines = answer.content.decode("utf-8-sig").splitlines()
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["x-rows"] == str(len(lines)) == "8"
    assert [line.split(",")[0] for line in lines[1:]] == [f"acme-{n:04}" for n in range(7)]
    cells = [line.split(",")[11] for line in lines[1:]]
    assert [cell[0] for cell in cells[:5]] == ["'"] * 5
    assert cells[5] == "plain =2"
    assert '"Åse, ""Ås"""' in lines[-1]
    assert desk.http.get("/console/invoices.csv?from=yesterday").status_code == 422
