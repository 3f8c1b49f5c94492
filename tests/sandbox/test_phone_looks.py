"""The phone by keyboard, on the smallest screen, without JavaScript, and under attack."""

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import SMALL, WAIT_MS, is_too_wide
from tests.sandbox.phones import Customer, banner, cards

# Each would run, break out of its place, or turn what follows around, if it were let.
HOSTILE = (
    "<script>window.hit=1</script>",
    '"><img src=x onerror="window.hit=1">',
    "'><svg/onload=window.hit=1>",
    "</title><script>window.hit=1</script>",
    "{{ 7*7 }}{% raw %}${window.hit=1}",
    "javascript:window.hit=1//",
    "\u202egnirts desrever",
    "<iframe srcdoc='<script>parent.hit=1</script>'></iframe>",
)
UNBROKEN = "W" * 100
ENDS = ("", "/cancel", "/consent", "/details")


def test_phone_is_worked_by_keyboard_alone(page: Page, customer: Customer) -> None:
    """Everything is reached with Tab and done with Enter, in the order one reads."""
    reference = customer.ask_for_long()
    page.goto(customer.home)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Pay to")).to_be_visible()

    reached = []
    for _ in range(4):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.textContent").strip())
    page.keyboard.press("Enter")

    assert reached == ["Close", "Cancel", "See details", "Pay 200\u00a0kr"]
    expect(page.get_by_role("heading", name="Reserved")).to_be_visible()
    assert customer.merchant.get(reference)["state"] == "AUTHORIZED"


def test_cancel_sheet_keeps_the_keyboard_to_itself(page: Page, customer: Customer) -> None:
    """What lies under the question can't be reached while it is asked."""
    page.goto(customer.payment_url(customer.ask_for_long()) + "/cancel")

    reached = []
    for _ in range(3):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.textContent").strip())

    assert reached == ["Yes, cancel", "I'll pay later", "No, continue"]


def test_focus_stays_where_it_was_when_news_arrive(page: Page, customer: Customer) -> None:
    """Who is about to choose a request by keyboard is not thrown back to the top."""
    reference = customer.ask_for_long()
    customer.merchant.act("postpone", reference)
    page.goto(customer.home)
    cards(page).focus()

    customer.merchant.act("postpone", customer.ask_for_long("invoice-0002"))
    expect(cards(page)).to_have_count(2)

    assert page.evaluate("document.activeElement.id").endswith(reference)


@pytest.mark.parametrize("end", ENDS)
def test_smallest_screen_needs_no_sideways_scrolling(
    page: Page, customer: Customer, end: str
) -> None:
    """320 pixels are enough, also for a merchant who knows no spaces."""
    reference = customer.ask_for_long(
        paymentDescription=UNBROKEN,
        amount={"currency": "NOK", "value": 65_000_000},
        profile={"scope": "name address email phoneNumber birthDate"},
    )
    customer.show(reference, f"https://example.com/{UNBROKEN}" if end == "" else "app://x/y")
    page.set_viewport_size({"width": SMALL[0], "height": SMALL[1]})

    page.goto(customer.payment_url(reference) + end)
    is_wide = is_too_wide(page)
    page.goto(customer.home)

    assert not is_wide
    assert not is_too_wide(page)


@pytest.mark.parametrize("path", ["/phone", "/phone?number=x", "/phone/47", "/sandbox"])
def test_other_pages_fit_the_smallest_screen(page: Page, customer: Customer, path: str) -> None:
    """So do the pages round the phone."""
    customer.ask_briefly(paymentDescription=UNBROKEN)
    page.set_viewport_size({"width": SMALL[0], "height": SMALL[1]})

    page.goto(customer.url(path))

    assert not is_too_wide(page)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_only_ever_text(page: Page, customer: Customer, text: str) -> None:
    """Whatever a payment says is shown letter by letter and never runs."""
    line = {
        "name": text,
        "id": text,
        "totalAmount": 1,
        "totalAmountExcludingTax": 1,
        "totalTaxAmount": 0,
        "taxRate": 0,
    }
    receipt = {"orderLines": [line], "bottomLine": {"currency": "NOK"}}
    person = {"firstName": text, "lastName": text}
    customer.merchant.client.put(f"/sandbox/persons/{customer.number}", json=person)
    reference = customer.ask_for_long(paymentDescription=text, receipt=receipt)

    for path in (
        customer.home,
        *(customer.payment_url(reference) + end for end in ENDS),
        customer.url("/phone"),
        customer.url("/sandbox"),
    ):
        page.goto(path)
        assert text in (page.text_content("body") or "")
        assert page.evaluate("window.hit") is None
        assert page.locator("img, iframe, script:not([src])").count() == 0


def test_live_news_with_hostile_text_run_nothing(page: Page, customer: Customer) -> None:
    """What arrives live is as harmless as what was there from the start."""
    page.goto(customer.home)

    customer.ask_briefly(paymentDescription=HOSTILE[1])

    expect(banner(page)).to_contain_text("onerror")
    assert page.evaluate("window.hit") is None


def test_phone_works_without_javascript(browser: Browser, customer: Customer) -> None:
    """Plain forms and links do everything; a reload takes the place of live news."""
    context = browser.new_context(java_script_enabled=False)
    context.set_default_timeout(WAIT_MS)
    page = context.new_page()
    page.goto(customer.home)

    reference = customer.ask_for_long()
    page.get_by_role("link", name="Look for new requests").click()
    banner(page).click()
    page.get_by_role("link", name="Cancel").click()
    page.get_by_role("button", name="I'll pay later").click()
    cards(page).click()
    page.get_by_role("button", name=re.compile("Pay")).click()

    expect(page.get_by_role("heading", name="Reserved")).to_be_visible()
    assert customer.merchant.get(reference)["state"] == "AUTHORIZED"
    context.close()


def test_link_works_without_javascript(browser: Browser, customer: Customer, shop_url: str) -> None:
    """Also the way back to the shop needs no script."""
    context = browser.new_context(java_script_enabled=False)
    context.set_default_timeout(WAIT_MS)
    page = context.new_page()

    page.goto(customer.link(returnUrl=f"{shop_url}/thanks"))
    page.get_by_label("Your phone number").fill(customer.number)
    page.keyboard.press("Enter")
    page.get_by_role("button", name=re.compile("Pay")).click()

    expect(page).to_have_url(f"{shop_url}/thanks")
    context.close()


def test_phone_is_dark_and_still_where_asked_for(browser: Browser, customer: Customer) -> None:
    """The customer's system decides on colours and on motion."""
    found = {}
    for scheme in ("light", "dark"):
        context = browser.new_context(
            color_scheme="dark" if scheme == "dark" else "light",
            reduced_motion="reduce" if scheme == "dark" else "no-preference",
        )
        page = context.new_page()
        page.goto(customer.payment_url(customer.ask_briefly(f"invoice-{scheme}")) + "/cancel")
        script = (
            "[getComputedStyle(document.querySelector('.screen')).backgroundColor,"
            " getComputedStyle(document.querySelector('.choices')).animationName]"
        )
        found[scheme] = page.evaluate(script)
        context.close()

    assert found == {"light": ["rgb(244, 247, 248)", "rise"], "dark": ["rgb(19, 30, 36)", "none"]}
