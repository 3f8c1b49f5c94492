"""Whole stories in a real browser: from the page to Vipps and back, against the sandbox."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

from playwright.sync_api import Browser, Page, expect

from tests.browser import WAIT_MS
from tests.flows.processes import eventually
from tests.pages.living import Living, living, pay_on_phone

PAY = re.compile("^Pay with Vipps$")


def title(page: Page, text: str) -> None:
    """Wait until the page says so; the script brings it, or the next reload."""
    expect(page.locator("#standing-title")).to_have_text(text, timeout=WAIT_MS)


def test_first_payment_shares_the_number_and_the_next_invoice_comes_in_the_app(
    page: Page, shop: Living
) -> None:
    """The story that it all begins with: once by link, from then on in the app."""
    reference, url = shop.bill()
    number = shop.number()
    page.goto(url)
    title(page, "Not paid yet")
    page.get_by_role("button", name=PAY).click()
    pay_on_phone(page, number, shares=True)

    expect(page).to_have_url(url)
    title(page, "Thank you")
    assert shop.at_vipps(reference)["request"]["profile"] == {"scope": "phoneNumber"}
    customer = eventually(lambda: shop.api.invoice(reference)["customer"], what="customer")
    assert (customer or {})["phoneNumber"] == number
    shop.api.act(reference, "capture")
    title(page, "Paid. Thank you")
    page.reload()
    expect(page.get_by_text("Invoices in your app")).to_be_visible()
    later, _ = shop.bill(flow="PUSH_MESSAGE", customer={"id": (customer or {})["id"]})
    assert shop.api.reaches(later, "pushed")["payments"][0]["userFlow"] == "PUSH_MESSAGE"


def test_who_does_not_share_pays_without(page: Page, shop: Living) -> None:
    """A refusal ends the payment, and the page offers to pay all the same."""
    reference, url = shop.bill()
    number = shop.number()
    page.goto(url)
    page.get_by_role("button", name=PAY).click()
    pay_on_phone(page, number, shares=False)
    title(page, "Payment stopped")
    expect(page.get_by_text("Without sharing your phone number.")).to_be_visible()

    page.get_by_role("button", name=PAY).click()
    pay_on_phone(page, number)

    title(page, "Thank you")
    assert shop.api.invoice(reference)["customer"] is None
    assert "reopen by customer" in shop.history(reference)


def test_declined_in_the_app_shows_at_once_and_can_be_paid_after_all(
    page: Page, shop: Living
) -> None:
    """The open page follows what happens on the phone, and takes a change of mind."""
    reference, url = shop.ask()
    page.goto(url)
    title(page, "Waiting in your Vipps app")

    shop.act("reject", reference)

    title(page, "You said no")
    page.get_by_role("button", name=PAY).click()
    pay_on_phone(page, shop.number())
    title(page, "Thank you")


def test_pay_later_with_a_day(page: Page, shop: Living) -> None:
    """The customer postpones, reads when they are asked again, and pays in the app before."""
    until = datetime.now(UTC) + timedelta(days=20)
    reference, url = shop.ask(payableUntil=until.isoformat(timespec="seconds"))
    day = (until - timedelta(days=10)).date()
    page.goto(url)
    page.get_by_text("Pay later", exact=True).click()
    page.get_by_label("When shall we ask you again in Vipps?").fill(day.isoformat())
    page.get_by_role("button", name="I'll pay later").click()

    expect(
        page.get_by_text(f"We will ask you again in Vipps on {day.day} {day:%B %Y}")
    ).to_be_visible()
    assert shop.history(reference)[-1] == "soft_dismiss by customer"
    shop.act("approve", reference)
    title(page, "Thank you")


def test_back_from_vipps_without_paying_is_paying_later(page: Page, shop: Living) -> None:
    """Who turns back finds the page as it was, and goes on with the same payment."""
    reference, url = shop.bill()
    page.goto(url)
    page.get_by_role("button", name=PAY).click()
    expect(page.get_by_label("Your phone number")).to_be_visible()
    at_vipps = page.url

    page.goto(f"{url}/back")
    expect(page).to_have_url(url)
    title(page, "Not paid yet")
    assert shop.history(reference)[-1] == "soft_dismiss by customer"
    page.get_by_role("button", name=PAY).click()

    expect(page).to_have_url(at_vipps)
    assert len(shop.api.invoice(reference)["payments"]) == 1


def test_pay_here_instead_lapses_and_the_app_is_asked_again(page: Page, lone_shop: Living) -> None:
    """Nobody loses the request in the app by looking at the page."""
    reference, url = lone_shop.ask()
    page.goto(url)
    page.get_by_role("button", name="Pay here instead").click()
    expect(page.get_by_label("Your phone number")).to_be_visible()
    page.goto(url)
    title(page, "Not paid yet")

    lone_shop.advance(11 * 60)

    title(page, "Waiting in your Vipps app")
    flows = [p["userFlow"] for p in lone_shop.api.invoice(reference)["payments"]]
    assert flows == ["PUSH_MESSAGE", "WEB_REDIRECT", "PUSH_MESSAGE"]


def test_expired_payment_is_made_anew(page: Page, lone_shop: Living) -> None:
    """The link outlives every payment: after ten minutes it makes another one."""
    reference, url = lone_shop.bill()
    page.goto(url)
    page.get_by_role("button", name=PAY).click()
    expect(page.get_by_label("Your phone number")).to_be_visible()
    lone_shop.advance(11 * 60)
    lone_shop.api.reaches(reference, "soft_dismissed")

    page.goto(url)
    title(page, "You can pay later")
    page.get_by_role("button", name=PAY).click()
    pay_on_phone(page, lone_shop.number(), shares=True)

    title(page, "Thank you")
    assert [p["state"] for p in lone_shop.api.invoice(reference)["payments"]] == [
        "expired",
        "authorized",
    ]


def test_withdrawn_consent_ends_the_requests(page: Page, shop: Living) -> None:
    """On the same page the customer says that nothing more shall come, and it does not."""
    reference, url = shop.ask(push=False)
    page.goto(url)
    page.get_by_text("Invoices in your app").click()
    page.get_by_role("button", name="Withdraw my consent").click()

    page.get_by_text("Invoices in your app").click()
    expect(page.get_by_text("may not send invoices to your Vipps app")).to_be_visible()
    refused = shop.api.act(reference, "push")
    assert (refused.status_code, refused.json()["code"]) == (409, "consent_withdrawn")
    page.get_by_role("button", name="Agree again").click()
    title(page, "Not paid yet")
    assert shop.api.act(reference, "push").status_code in (200, 202)


def test_truth_is_told_in_another_browser_and_without_webhooks(
    page: Page, browser: Browser, tmp_path: Path
) -> None:
    """The phone's own browser, which was never here, shows what a read says."""
    with living(tmp_path) as shop:
        reference, url = shop.bill()
        page.goto(url)
        page.get_by_role("button", name=PAY).click()
        expect(page.get_by_label("Your phone number")).to_be_visible()
        shop.lose_webhooks(1)
        shop.act("approve", reference)

        other = browser.new_page(locale="da-DK")
        other.goto(f"{url}/back")

        expect(other).to_have_url(url)
        title(other, "Tak")
        assert shop.history(reference)[-1] == "authorize by poll"
        other.close()


def test_whole_story_without_javascript(browser: Browser, shop: Living) -> None:
    """Forms and links are enough, from the first look to the thanks."""
    context = browser.new_context(java_script_enabled=False)
    context.set_default_timeout(WAIT_MS)
    page = context.new_page()
    _, url = shop.bill()
    page.goto(url)
    page.get_by_role("button", name=PAY).click()
    pay_on_phone(page, shop.number(), shares=True)

    expect(page).to_have_url(url)
    title(page, "Thank you")
    context.close()


def test_page_is_worked_by_keyboard_alone(page: Page, shop: Living) -> None:
    """Everything is reached with Tab in the order one reads, and done with Enter."""
    _, url = shop.ask()
    page.goto(url)
    reached = []
    for _ in range(4):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.textContent").strip())
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    reached.append(page.evaluate("document.activeElement.tagName"))

    assert reached[1:4] == ["Pay here instead", "Pay later", "Invoices in your app"]
    assert reached[-1] in ("BUTTON", "INPUT")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Your phone number")).to_be_visible()
