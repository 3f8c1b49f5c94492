"""What finance and support do all day, in a real browser against a running service."""

import re
from datetime import timedelta

import pytest
import sqlalchemy as sa
from playwright.sync_api import Browser, Page, expect

from service.clock import real_now
from service.kinds import Role
from service.staff.users import NewPerson, add_user
from service.store.inserts import table_of
from service.store.tables import Attempt, Delivery, RefusedWebhook, StaffSession
from service.units import add_unit
from tests.builders import a_unit
from tests.console.conftest import HOSTILE, MSN, OTHER_MSN, Office, SignIn, sign_in
from tests.fake_merchant import Answer
from tests.flows.processes import eventually
from tests.service.console.conftest import PASSWORD


def state(page: Page, name: str) -> None:
    """Wait until the invoice's page says so, by itself."""
    expect(page.locator("#standing .state")).to_have_text(name)


def do(page: Page, label: str, *, reason: str, amount: str = "") -> None:
    """Fill in an act's form and confirm it."""
    act = page.locator("details.act", has=page.locator("summary", has_text=label)).first
    act.locator("summary").click()
    if amount:
        act.get_by_label("Amount").fill(amount)
    act.get_by_label("Reason").fill(reason)
    act.get_by_role("button", name=label).click()
    page.get_by_role("button", name="Yes, do it").click()


def test_invoice_is_walked_from_push_to_refund(office: Office, as_person: SignIn) -> None:
    """Found by keyboard, watched live, captured, and given back by two people."""
    reference, _ = office.shop.ask(description=HOSTILE)
    office.shop.api.reaches(reference, "pushed")
    page = as_person("finance")
    page.goto("/console/invoices")
    page.keyboard.press("/")
    page.keyboard.type(reference)
    page.keyboard.press("Enter")
    state(page, "pushed")

    office.shop.act("approve", reference)
    state(page, "authorized")
    do(page, "Capture", reason="Sent the goods")
    state(page, "captured")
    do(page, "Refund", reason="A small scratch", amount="150,00")
    expect(page.locator("#money-card")).to_contain_text("150.00")
    do(page, "Refund", reason="Came back")

    expect(page.get_by_role("heading", name="waits for a second person")).to_be_visible()
    expect(page.get_by_role("button", name=re.compile("^Agree"))).to_have_count(0)
    second = as_person("second")
    second.goto("/console")
    second.locator("#attention").get_by_role("link", name=reference).click()
    second.get_by_role("button", name="Agree: refund 349.00").click()
    state(second, "refunded")
    state(page, "refunded")
    history = office.shop.history(reference)
    assert history[0] == "create by api"
    assert history[-1].startswith("refund by")


def test_failed_delivery_is_replayed(office: Office, as_person: SignIn) -> None:
    """Read what the receiver said, count what is missing, send it again, see it arrive."""
    key = office.subscribe(HOSTILE)
    office.said.append(Answer(500, body=HOSTILE.encode()))
    reference, _ = office.shop.bill()
    # An answer shows at the next look: nobody is told of it by the feed.
    eventually(lambda: _is_tried(office, key), what="the first try")
    page = as_person("admin")
    page.goto(f"/console/subscriptions/{key}")
    expect(page.locator("#log-card")).to_contain_text(f"invoice.created {reference}")
    page.locator("#log-card summary", has_text=reference).click()
    expect(page.locator("#log-card pre").first).to_have_text(HOSTILE)
    office.said.append(Answer())
    _give_up(office, key)

    page.goto(f"/console/subscriptions/{key}")
    page.get_by_role("button", name="Send a test").click()
    expect(page.get_by_role("status")).to_contain_text("It answered 204")
    replay = page.locator("details.act", has=page.get_by_text("Replay", exact=True)).first
    replay.locator("summary").click()
    replay.get_by_label("Reason").fill("Was down")
    replay.get_by_role("button", name="Count first").click()
    expect(page.get_by_role("status")).to_contain_text("would be sent again")
    replay.locator("summary").click()
    replay.get_by_label("Reason").fill("Was down")
    replay.get_by_role("button", name="Replay").click()

    expect(page.get_by_role("status")).to_contain_text("sent again")
    page.goto(f"/console/subscriptions/{key}?status=delivered")
    expect(page.locator("#log-card")).to_contain_text(reference)


def _is_tried(office: Office, key: str) -> bool:
    """Tell whether a delivery of an invoice's event to this subscription has an answer."""
    delivery, attempt = table_of(Delivery).c, table_of(Attempt).c
    tried = sa.select(attempt.number).where(
        attempt.delivery_id.in_(
            sa.select(delivery.id).where(delivery.subscription_id == key, delivery.position > 0)
        )
    )
    with office.shop.context.database.snapshot() as session:
        return session.execute(tried).first() is not None


def test_event_is_sent_again_from_its_invoice(office: Office, as_person: SignIn) -> None:
    """Support need not know which subscription it was."""
    office.subscribe()
    reference, _ = office.shop.bill()
    page = as_person("support")
    page.goto(f"/console/invoices/{reference}")
    page.locator("summary", has_text="What was told: invoice.created").click()
    page.get_by_role("button", name="Send again").click()

    expect(page.get_by_text("Sent again to")).to_be_visible()


def test_viewer_sees_and_does_nothing(office: Office, as_person: SignIn) -> None:
    """No form is offered, and one that is sent all the same is refused in words."""
    reference, _ = office.shop.ask()
    page = as_person("viewer")
    page.goto(f"/console/invoices/{reference}")
    expect(page.get_by_text("Nothing that your role may do")).to_be_visible()
    page.evaluate(
        """path => { const form = document.querySelector('form[action="/console/sign-out"]');
        form.action = path; form.querySelector('button').click(); }""",
        f"/console/invoices/{reference}/cancel",
    )

    expect(page.get_by_role("heading", name="Not yours to do")).to_be_visible()
    assert office.shop.api.invoice(reference)["state"] != "terminated"


def test_phone_number_finds_its_invoices_and_stands_in_no_address(
    office: Office, as_person: SignIn
) -> None:
    """With the country's code or without, also one that is nobody's (I11)."""
    number = office.shop.number()
    reference, _ = office.shop.bill(flow="PUSH_MESSAGE", customer={"phoneNumber": number})
    page, seen = as_person("support"), list[str]()
    page.on("request", lambda request: seen.append(request.url))
    for typed in (f"+{number}", number[2:4] + " " + number[4:]):
        page.goto("/console/invoices")
        page.get_by_label("whole phone number").fill(typed)
        page.get_by_role("button", name="Search").click()
        expect(page.locator("#found tbody tr")).to_have_count(1)
        expect(page.locator("#found")).to_contain_text(reference)
    page.get_by_label("whole phone number").fill("4700000000")
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_text("Nobody here has this number")).to_be_visible()

    assert not [url for url in seen if number[2:] in url or "4700000000" in url]


def test_list_is_exported_with_its_progress(office: Office, as_person: SignIn) -> None:
    """What is on the screen, as a file that no spreadsheet runs."""
    office.shop.bill(description="=HYPERLINK(1)")
    page = as_person("viewer")
    page.goto("/console/invoices?q=hyperlink")
    with page.expect_download() as downloaded:
        page.get_by_role("link", name="Export as CSV").click()

    text = downloaded.value.path().read_text(encoding="utf-8-sig")
    assert text.startswith("reference,state,currency,amount")
    assert "'=HYPERLINK(1)" in text
    expect(page.get_by_role("status").last).to_have_text("2 of 2, done")


def test_everything_is_reached_by_keyboard(office: Office, as_person: SignIn) -> None:
    """Rows by j and k, pages by g, the list of keys by ?; typing is left alone."""
    office.shop.bill()
    first, _ = office.shop.bill()
    page = as_person("viewer")
    page.goto("/console")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    page.keyboard.press("g")
    page.keyboard.press("i")
    expect(page.get_by_role("heading", name="Invoices", exact=True)).to_be_visible()
    for key in ("j", "j", "k"):
        page.keyboard.press(key)
    expect(page.get_by_role("link", name=first)).to_be_focused()
    page.keyboard.press("/")
    page.keyboard.type("j?k/")

    expect(page.get_by_label("whole phone number")).to_have_value("j?k/")


def test_open_page_ends_with_its_session(office: Office, browser: Browser) -> None:
    """Who is signed out elsewhere reads nothing any more, also where nobody touches the page."""
    with office.shop.context.database.transaction() as session:
        new = NewPerson("leaver", "Leaver", Role.VIEWER, (MSN,), PASSWORD, has_second_factor=False)
        key = add_user(session, office.shop.context.vault, new, now=real_now()).user_id
    context = browser.new_context(base_url=office.shop.url)
    page = context.new_page()
    sign_in(page, "leaver")
    with office.shop.context.database.transaction() as session:
        session.execute(sa.delete(StaffSession).where(table_of(StaffSession).c.user_id == key))

    expect(page.get_by_label("Password")).to_be_visible(timeout=20_000)
    context.close()


def test_person_sees_their_sales_units_and_no_other(office: Office, browser: Browser) -> None:
    """Who has two looks at one at a time; an address of the other's is not there."""
    reference, _ = office.shop.bill()
    with office.shop.context.database.transaction() as session:
        vault = office.shop.context.vault
        add_unit(session, vault, a_unit(OTHER_MSN, name="The other shop"), now=real_now())
        both = (MSN, OTHER_MSN)
        new = NewPerson("both", "Both", Role.VIEWER, both, PASSWORD, has_second_factor=False)
        add_user(session, vault, new, now=real_now())
    context = browser.new_context(base_url=office.shop.url)
    page = context.new_page()
    sign_in(page, "both")
    page.get_by_label("Sales unit").select_option(OTHER_MSN)
    page.get_by_role("button", name="Look").click()
    expect(page.locator(".unit")).to_contain_text("The other shop")
    page.goto(f"/console/invoices/{reference}")

    expect(page.get_by_role("heading", name="No such invoice")).to_be_visible()
    context.close()


def test_sandbox_is_turned_from_the_console(office: Office, as_person: SignIn) -> None:
    """Faults are set and calmed beside the invoices that they concern."""
    page = as_person("support")
    page.goto("/console/sandbox")
    page.get_by_label("Webhooks sent twice").fill("0,5")
    page.get_by_role("button", name="Set").click()
    expect(page.locator("#faults .health")).to_have_text("on")
    expect(page.get_by_label("Webhooks sent twice")).to_have_value("0.5")
    page.get_by_label("Webhooks sent twice").fill("2")
    page.get_by_role("button", name="Set").click()
    expect(page.get_by_role("alert")).to_contain_text("a number from 0 to 1")
    page.get_by_role("button", name="Calm").click()

    expect(page.locator("#faults .health")).to_have_text("calm")


def test_vipps_is_asked_and_the_secret_renewed(office: Office, as_person: SignIn) -> None:
    """What stands there, what was refused and why, and a new secret beside the old one."""
    refused = RefusedWebhook(
        id="rfw_1",
        msn=MSN,
        at=real_now() - timedelta(minutes=1),
        reason=HOSTILE,
        diagnosis=[f"host={HOSTILE}", "clock_s=400"],
    )
    with office.shop.context.database.transaction() as session:
        session.add(refused)
    page = as_person("admin")
    page.goto("/console/vipps")
    expect(page.get_by_text("this machine's clock is wrong")).to_be_visible()
    page.get_by_role("button", name="Compare with Vipps now").click()
    expect(page.get_by_role("status")).to_contain_text("1 of ours stand at our address.")
    page.locator("summary", has_text="New secret").click()
    page.get_by_label("Reason").fill("A laptop was lost")
    page.get_by_role("button", name="New secret").click()

    expect(page.get_by_text("replaced, accepted meanwhile")).to_be_visible()
    page.goto("/console/settings")
    expect(page.get_by_text("“A laptop was lost”")).to_be_visible()


@pytest.mark.parametrize("path", ["/console/live", "/console/invoices.csv", "/console/feed"])
def test_strangers_get_nothing(office: Office, page: Page, path: str) -> None:
    """Neither what is live nor what is exported."""
    answer = page.request.get(f"{office.shop.url}{path}", max_redirects=0)

    assert answer.status in (303, 401)
    assert "acme" not in answer.text()


def _give_up(office: Office, key: str) -> None:
    column = table_of(Delivery).c
    with office.shop.context.database.transaction() as session:
        mine = sa.update(table_of(Delivery)).where(
            column.subscription_id == key, column.status == "pending"
        )
        session.execute(mine.values(status="failed", lease=None))
