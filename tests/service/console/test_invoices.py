"""Finding an invoice, reading why it is where it is, and moving it: in a browser and around it."""

import re

import httpx
import pytest
from playwright.sync_api import Page, expect
from sqlmodel import col, select

from service.audit.verify import verify_file
from service.console.formats import amount_in_minor_units, money
from service.store.tables import Act, Command
from tests.browser import SMALL, is_too_wide
from tests.builders import ONLY_SQLITE, OTHER_MSN
from tests.service.console.conftest import Desk
from tests.service.console.test_overview import HOSTILE, send, sign_in

REFERENCE = "acme-0001"
PAGE = f"/console/invoices/{REFERENCE}"


@pytest.mark.parametrize(
    ("typed", "minor"),
    [
        ("149", 14900),
        ("149.5", 14950),
        ("1 200,05", 120005),
        ("0.01", 1),
        ("\u202f2\u00a0000", 200000),
    ],
)
def test_amount_is_read_as_people_type_it(typed: str, minor: int) -> None:
    """Comma or point, spaces or none; and what we show can be typed in again."""
    assert amount_in_minor_units(typed) == minor
    assert amount_in_minor_units(money(minor, "")) == minor


@pytest.mark.parametrize(
    "typed", ["", "-1", "1.234", "1e3", "1,2,3", "0x10", "12345678901", "\u0661"]
)
def test_what_is_no_amount_is_none(typed: str) -> None:
    """Nothing is guessed where money moves."""
    assert amount_in_minor_units(typed) is None


@ONLY_SQLITE
def test_invoices_are_found_by_word_state_and_day(desk: Desk) -> None:
    """Only this sales unit's, and no more than fits."""
    send(desk, "acme-0001", "CREATED", text="Broadband")
    send(desk, "acme-0002", text="Travel insurance")
    send(desk, "other-001", msn=OTHER_MSN)
    desk.sign_in()

    assert found(desk) == ["acme-0002", "acme-0001"]
    assert found(desk, q="broad") == ["acme-0001"]
    assert found(desk, q="other") == []
    assert found(desk, state="pushed") == ["acme-0001"]
    assert found(desk, **{"from": "2026-11-22", "to": "2026-11-22"}) == ["acme-0002", "acme-0001"]
    assert found(desk, **{"from": "2026-11-23"}) == []
    assert found(desk, q="%") == []


@ONLY_SQLITE
def test_list_goes_on_where_the_page_ends(desk: Desk) -> None:
    """Each invoice stands on one page."""
    references = [f"acme-{number:04}" for number in range(53)]
    for reference in references:
        send(desk, reference)
    desk.sign_in()

    first = desk.http.get("/console/invoices").text
    link = re.search(r'class="more" href="([^"]*)"', first)
    assert link
    second = desk.http.get(link[1].replace("&amp;", "&")).text

    assert [*named(first), *named(second)] == references[::-1]
    assert 'class="more"' not in second


@ONLY_SQLITE
@pytest.mark.parametrize("query", ["state=paid", "from=yesterday", "to=2026-13-01"])
def test_filter_that_cant_be_read_is_said(desk: Desk, query: str) -> None:
    """A filter that is ignored in silence would hide invoices."""
    send(desk, REFERENCE)
    desk.sign_in()

    answer = desk.http.get(f"/console/invoices?{query}")

    assert answer.status_code == 422
    assert "no date, no state, or no amount" in answer.text


@ONLY_SQLITE
def test_other_sales_units_invoices_are_not_there(desk: Desk) -> None:
    """Neither to see nor to move nor to download (I10)."""
    send(desk, "other-001", "CREATED", msn=OTHER_MSN)
    desk.sign_in("admin")
    form = form_of(desk, "/console", reason="mine now", sequence="1")

    path = "/console/invoices/other-001"
    answers = [
        desk.http.get(path),
        desk.http.get(f"{path}/evidence"),
        desk.http.post(f"{path}/cancel", data=form),
    ]

    assert {answer.status_code for answer in answers} == {404}
    assert rows(desk, Act) == 1


def test_person_captures_a_part_and_refunds_it(desk: Desk) -> None:
    """The act is theirs, with their reason, and decided once."""
    send(desk, REFERENCE, "CREATED", "AUTHORIZED")
    desk.sign_in("finance")

    answer = act(desk, "capture", amount="1 500,00", reason="Sent the goods")

    assert answer.status_code == 303
    with desk.context.database.snapshot() as session:
        made = session.exec(select(Act).where(col(Act.name) == "capture")).one()
        command = session.exec(select(Command).where(col(Command.kind) == "capture")).one()
    assert made.actor.startswith("user:usr_")
    assert (made.reason, made.amount_minor) == ("Sent the goods", 150000)
    assert (command.act_id, command.amount_minor) == (made.id, 150000)


@ONLY_SQLITE
@pytest.mark.parametrize(
    ("form", "status", "said"),
    [
        ({"reason": ""}, 422, "reason"),
        ({"reason": "x" * 501}, 422, "reason"),
        ({"amount": "a lot"}, 422, "amount"),
        ({"amount": "0"}, 422, "amount"),
        ({"amount": "2000.01"}, 409, "remain"),
        ({"sequence": "1"}, 409, "changed since you looked"),
        ({"sequence": ""}, 409, "changed since you looked"),
        ({"csrf": "0" * 64}, 403, "out of date"),
        ({"csrf": ""}, 403, "out of date"),
    ],
    ids=str,
)
def test_what_is_wrong_is_said_and_nothing_is_done(
    desk: Desk, form: dict[str, str], status: int, said: str
) -> None:
    """No money moves on a form that is not right in every part."""
    send(desk, REFERENCE, "CREATED", "AUTHORIZED")
    desk.sign_in("finance")

    answer = act(desk, "capture", **form)

    assert answer.status_code == status
    assert said in answer.text
    assert rows(desk, Act) == 1


@ONLY_SQLITE
@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        ("viewer", set()),
        ("support", {"push", "soft-dismiss"}),
        ("finance", {"push", "soft-dismiss", "cancel", "paid-elsewhere"}),
        ("admin", {"push", "soft-dismiss", "cancel", "paid-elsewhere"}),
    ],
)
def test_each_role_is_offered_and_let_do_what_is_its_own(
    desk: Desk, role: str, allowed: set[str]
) -> None:
    """What is not offered is refused as well when it is sent all the same."""
    send(desk, REFERENCE, "CREATED")
    desk.sign_in(role)
    page = desk.http.get(PAGE).text

    offered = set(re.findall(rf'action="{PAGE}/([a-z-]+)"', page))
    forbidden = {"push", "soft-dismiss", "cancel", "paid-elsewhere"} - allowed
    form = form_of(desk, PAGE, reason="try")
    statuses = {n: desk.http.post(f"{PAGE}/{n}", data=form).status_code for n in forbidden}

    assert offered == allowed
    assert set(statuses.values()) <= {403}
    assert rows(desk, Act) == 1


@ONLY_SQLITE
def test_evidence_is_downloaded_and_verifies(desk: Desk) -> None:
    """The same file as the API's, which anyone can check without us."""
    send(desk, REFERENCE, "CREATED", "AUTHORIZED")
    desk.sign_in()

    answer = desk.http.get(f"{PAGE}/evidence")

    assert "attachment" in answer.headers["content-disposition"]
    assert verify_file(answer.content)


@ONLY_SQLITE
def test_invoice_is_walked_from_push_to_cancel(desk: Desk, page: Page) -> None:
    """Search, open, see why, act with a reason; at any width, without a word of it running."""
    send(desk, REFERENCE, "CREATED", text=HOSTILE)
    sign_in(desk, page, "finance")
    page.get_by_role("link", name="Invoices").click()
    page.get_by_label("Reference, description").fill("0001")
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_text(HOSTILE)).to_be_visible()
    page.get_by_role("link", name=REFERENCE).click()

    expect(page.locator(".node.here .name")).to_have_text("pushed")
    page.get_by_text("What Vipps reported").first.click()
    expect(page.get_by_text('"name": "CREATED"')).to_be_visible()
    assert not is_too_wide(page)
    page.set_viewport_size({"width": SMALL[0], "height": SMALL[1]})
    assert not is_too_wide(page)
    page.locator("summary", has_text="Mark as postponed").click()
    page.get_by_label("Reason").and_(page.locator(":visible")).fill("Called us: after payday")
    page.get_by_role("button", name="Mark as postponed").click()
    expect(page.get_by_text("The open request stays.")).to_be_visible()
    assert not is_too_wide(page)
    page.get_by_role("button", name="Yes, do it").click()

    expect(page.get_by_text("“Called us: after payday”")).to_be_visible()
    expect(page.locator("h1 .state")).to_have_text("soft_dismissed")
    assert page.evaluate("window.hit") is None


def found(desk: Desk, **query: str) -> list[str]:
    """Return the references that the list shows."""
    answer = desk.http.get("/console/invoices", params=query)
    assert answer.status_code == 200
    return named(answer.text)


def named(html: str) -> list[str]:
    """Return the references of a list's rows."""
    return re.findall(r'<th scope="row"><a data-row href="/console/invoices/([^"]+)">', html)


def form_of(desk: Desk, path: str, **fields: str) -> dict[str, str]:
    """Return a form with what this session's pages carry."""
    page = desk.http.get(path).text
    hidden = dict(re.findall(r'type="hidden" name="(csrf|sequence)" value="([^"]*)"', page))
    return {**hidden, **fields}


def act(desk: Desk, name: str, **fields: str) -> httpx.Response:
    """Send an act's form as the invoice's page has it, with some fields changed."""
    form = form_of(desk, PAGE, reason="because", confirmed="yes")
    return desk.http.post(f"{PAGE}/{name}", data={**form, **fields})


def rows(desk: Desk, model: type[Act]) -> int:
    """Return how many rows a table has."""
    with desk.context.database.snapshot() as session:
        return len(session.exec(select(model)).all())
