"""The overview in a browser: true figures, readable at any width, and nothing that runs."""

import re
from functools import partial

import httpx
import pytest
import sqlalchemy as sa
from playwright.sync_api import Page, expect
from starlette.applications import Starlette

from service.console.figures import Counted, Figures
from service.console.gate import Gate
from service.console.overview import overview_routes
from service.console.rendering import Pages
from service.ledger.book import write
from service.ledger.invoices import create_invoice
from service.ledger.record import record
from service.store.inserts import table_of
from service.store.tables import Invoice, SalesUnit
from statemachine import State
from tests.browser import SMALL, is_too_wide
from tests.builders import (
    AMOUNT,
    MSN,
    ONLY_SQLITE,
    OTHER_MSN,
    THE_MERCHANT,
    VippsPayment,
    an_invoice,
    received,
)
from tests.flows.processes import Served, eventually
from tests.service.console.conftest import PASSWORD, Desk

HOSTILE = '"><script>window.hit=1</script>'


def send(
    desk: Desk, reference: str, *happens: str, msn: str = MSN, text: str = "Insurance"
) -> None:
    """Make an invoice, and let Vipps report what happens to it."""
    new, vipps = an_invoice(reference=reference, description=text), VippsPayment(reference, msn)
    write(desk.context, lambda book: create_invoice(book, msn, new, THE_MERCHANT))
    for name in happens:
        reports = [received(vipps.happens(name), msn=msn)]
        write(desk.context, partial(record, batch=reports))


def figures(desk: Desk) -> Counted:
    """Return what the overview counts."""
    with desk.context.database.snapshot() as session:
        unit = session.get_one(SalesUnit, MSN)
    counting = Figures(desk.context, wait_s=30)
    counted = counting.of(unit)
    counting.end()
    assert counted is not None
    return counted


def test_invoices_are_counted_where_they_are(desk: Desk) -> None:
    """Counts and money per state, today's ways, and only of this sales unit."""
    send(desk, "acme-0001")
    send(desk, "acme-0002", "CREATED", "AUTHORIZED")
    send(desk, "acme-0003", "CREATED", "AUTHORIZED")
    send(desk, "other-001", "CREATED", msn=OTHER_MSN)

    counted = figures(desk)

    piles = {state: (pile.count, pile.amount_minor) for state, pile in counted.piles.items()}
    assert piles == {State.CREATED: (1, AMOUNT), State.AUTHORIZED: (2, 2 * AMOUNT)}
    assert counted.today == {
        (None, "created"): 3,
        ("created", "pushed"): 2,
        ("pushed", "authorized"): 2,
    }
    today = counted.days[-1]
    assert (today.created, today.authorized, today.captured) == (3, 2, 0)


@ONLY_SQLITE
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_overview_is_read_at_any_width(desk: Desk, page: Page, scheme: str) -> None:
    """The map where there is room, the same as a table where there is none."""
    send(desk, "acme-0001", "CREATED")
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    sign_in(desk, page)

    expect(page.locator(".node.pushed .count")).to_have_text("1")
    expect(page.locator(".node.pushed .money")).to_have_text("2\u202f000.00\u00a0NOK")
    assert not is_too_wide(page)
    page.set_viewport_size({"width": SMALL[0], "height": SMALL[1]})
    expect(page.locator(".map")).to_be_hidden()
    expect(page.get_by_role("row", name=re.compile("^pushed [0-9]"))).to_be_visible()
    assert not is_too_wide(page)


@ONLY_SQLITE
def test_person_walks_in_and_out_by_keyboard(desk: Desk, page: Page) -> None:
    """Login, Tab, password, Enter; and the way out ends it."""
    page.goto(f"{desk.url}/console")
    expect(page.get_by_label("Login")).to_be_focused()
    page.keyboard.type("viewer")
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Where the invoices are")).to_be_visible()

    page.get_by_role("button", name="Sign out").press("Enter")

    expect(page.get_by_role("heading", name="Betalbar")).to_be_visible()
    page.goto(f"{desk.url}/console")
    expect(page.get_by_label("Password")).to_be_visible()


@ONLY_SQLITE
def test_strangers_text_is_shown_and_never_run(desk: Desk, page: Page) -> None:
    """What a problem says stands there as text (T38)."""
    send(desk, "acme-0001", "CREATED", text=HOSTILE)
    change = {"code": "upstream_refused", "title": HOSTILE}
    with desk.context.database.transaction() as session:
        session.execute(sa.update(table_of(Invoice)).values(problem=change))
    sign_in(desk, page)

    expect(page.get_by_text(HOSTILE)).to_be_visible()
    assert page.evaluate("window.hit") is None


@ONLY_SQLITE
def test_money_at_risk_is_the_ledgers_own_figure(desk: Desk) -> None:
    """What `/metrics` counts is what finance reads, by the time that has passed."""
    send(desk, "acme-0001", "CREATED", "AUTHORIZED")
    send(desk, "other-001", "CREATED", "AUTHORIZED", msn=OTHER_MSN)
    desk.sign_in()
    before = desk.http.get("/console").text
    with desk.context.database.transaction() as session:
        session.execute(sa.update(table_of(Invoice)).values(warned_percent=80))

    after = desk.http.get("/console").text

    assert "No reservation is past half" in before
    assert '<th scope="row">80 %</th><td class="right">1</td>' in after
    assert "2\u202f000.00\u00a0NOK" in after


def sign_in(desk: Desk, page: Page, login: str = "viewer") -> None:
    """Walk in as a person does."""
    page.goto(f"{desk.url}/console")
    page.get_by_label("Login").fill(login)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Where the invoices are")).to_be_visible()


@ONLY_SQLITE
def test_page_waits_for_no_long_count(desk: Desk) -> None:
    """Until the first count is done the page says so; then it shows the last one there is."""
    send(desk, "acme-0001")
    desk.sign_in()
    gate, figures = (
        Gate(desk.context, Pages(desk.context.settings)),
        Figures(desk.context, wait_s=0),
    )
    served = Served(Starlette(routes=overview_routes(gate, figures)))
    served.start()
    with httpx.Client(base_url=served.url, cookies=dict(desk.http.cookies)) as http:
        first = http.get("/console")
        later = eventually(lambda: _counted(http), what="counted")
    served.stop()
    figures.end()

    assert first.status_code == 200
    assert "counting them, one moment" in first.text
    assert later and '<text class="count" x="42" y="106">1</text>' in later


def _counted(http: httpx.Client) -> str | None:
    page = http.get("/console").text
    return None if "counting them" in page else page
