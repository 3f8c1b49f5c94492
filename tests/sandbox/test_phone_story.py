"""What a customer does with the phone, in a real browser."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.sandbox.harness import Merchant
from tests.sandbox.phones import Customer, banner, cards


def test_person_with_a_request_is_found_and_opened(page: Page, customer: Customer) -> None:
    """A tester finds everybody who was asked, and any other number by typing it."""
    customer.ask_briefly()
    page.goto(customer.url("/phone"))

    page.get_by_label("Phone number").fill(customer.number[2:])
    page.get_by_role("button", name="Open phone").click()

    expect(page).to_have_url(customer.home)
    expect(banner(page)).to_have_count(1)


def test_request_arrives_live_and_is_paid(page: Page, customer: Customer, shop_url: str) -> None:
    """The phone shows a request the moment the merchant makes it, details and all."""
    page.goto(customer.home)
    expect(page.get_by_text("Nothing waits for you")).to_be_visible()

    reference = customer.ask_for_long(paymentDescription="Invoice 2041")
    customer.show(reference, f"{shop_url}/invoice")
    banner(page).click()
    page.get_by_role("button", name="See details").click()
    expect(page.frame_locator("iframe").get_by_text("Page invoice")).to_be_visible()
    page.get_by_role("link", name="Back").click()
    expect(page.get_by_text("Invoice 2041")).to_be_visible()
    page.get_by_role("button", name=re.compile("Pay 200")).click()

    expect(page.get_by_role("heading", name="Reserved")).to_be_visible()
    known = customer.inspect(reference)
    assert (known["state"], known["detailsOpened"]) == ("AUTHORIZED", 1)


def test_details_opened_change_nothing(page: Page, customer: Customer, shop_url: str) -> None:
    """Looking is not deciding, however often the page is loaded."""
    reference = customer.ask_briefly()
    customer.show(reference, f"{shop_url}/invoice")

    page.goto(customer.payment_url(reference))
    page.get_by_role("button", name="See details").click()
    page.wait_for_url("**/details")
    page.reload()

    known = customer.inspect(reference)
    assert (known["state"], known["detailsOpened"], len(known["events"])) == ("CREATED", 1, 1)


def test_details_show_what_is_paid_for(page: Page, customer: Customer) -> None:
    """The lines of a receipt are shown by the app itself."""
    page.goto(customer.payment_url(customer.ask_for_long()) + "/details")

    expect(page.get_by_role("row", name="Travel insurance")).to_contain_text("200 kr")
    expect(page.locator("iframe")).to_have_count(0)


def test_postponed_request_waits_until_it_expires(page: Page, lone_customer: Customer) -> None:
    """I'll pay later keeps the request on the home screen for as long as it lives."""
    reference = lone_customer.ask_for_long()
    page.goto(lone_customer.payment_url(reference))
    page.get_by_role("link", name="Cancel").click()
    page.get_by_role("button", name="I'll pay later").click()

    expect(page).to_have_url(lone_customer.home)
    expect(cards(page)).to_have_count(1)
    expect(banner(page)).to_have_count(0)
    lone_customer.merchant.advance(13 * 3600)
    expect(cards(page)).to_have_count(0)
    expect(page.get_by_role("link", name="Expired")).to_be_visible()
    assert lone_customer.inspect(reference)["state"] == "EXPIRED"


def test_postponed_request_can_still_be_paid(page: Page, customer: Customer) -> None:
    """Later comes."""
    reference = customer.ask_for_long()
    customer.merchant.act("postpone", reference)

    page.goto(customer.home)
    cards(page).click()
    page.get_by_role("button", name=re.compile("Pay")).click()

    expect(page.get_by_role("heading", name="Reserved")).to_be_visible()


def test_cancelled_request_is_aborted(page: Page, customer: Customer) -> None:
    """Yes, cancel ends the payment."""
    reference = customer.ask_for_long()
    page.goto(customer.payment_url(reference))
    page.get_by_role("link", name="Cancel").click()
    page.get_by_role("button", name="Yes, cancel").click()

    expect(page.get_by_role("heading", name="Cancelled by you")).to_be_visible()
    assert customer.merchant.get(reference)["state"] == "ABORTED"


def test_request_without_expiry_cannot_be_postponed(page: Page, customer: Customer) -> None:
    """Vipps offers I'll pay later only where the merchant set `expiresAt`."""
    reference = customer.ask_briefly()
    page.goto(customer.payment_url(reference) + "/cancel")

    expect(page.get_by_role("button", name="Yes, cancel")).to_be_visible()
    expect(page.get_by_role("button", name="I'll pay later")).to_have_count(0)
    page.get_by_role("link", name="No, continue").click()
    expect(page.get_by_role("button", name=re.compile("Pay"))).to_be_visible()
    assert customer.merchant.get(reference)["state"] == "CREATED"


def test_shared_details_come_with_the_payment(page: Page, customer: Customer) -> None:
    """Who is asked for more than money sees for what, and shares all of it."""
    reference = customer.ask_briefly(profile={"scope": "name phoneNumber"})
    page.goto(customer.payment_url(reference))
    page.get_by_role("button", name=re.compile("Pay")).click()
    expect(page.get_by_role("listitem")).to_have_text([" your name", " your phone number"])
    page.get_by_role("button", name=re.compile("Share and pay")).click()

    expect(page.get_by_role("heading", name="Reserved")).to_be_visible()
    assert customer.merchant.get(reference)["userDetails"]["mobileNumber"] == customer.number


def test_refusal_to_share_aborts(page: Page, customer: Customer) -> None:
    """Who does not share does not pay."""
    reference = customer.ask_briefly(profile={"scope": "name"})
    page.goto(customer.payment_url(reference) + "/consent")
    page.get_by_role("button", name="Don't share").click()

    expect(page.get_by_role("heading", name="Cancelled by you")).to_be_visible()
    assert customer.merchant.get(reference)["state"] == "ABORTED"


def test_link_leads_over_the_phone_back_to_the_shop(
    page: Page, customer: Customer, shop_url: str
) -> None:
    """Who follows a link names their phone, approves there, and is returned."""
    page.goto(customer.link(returnUrl=f"{shop_url}/thanks?a=1&b=2"))
    page.get_by_label("Your phone number").fill(f"+47 {customer.number[2:]}")
    page.get_by_role("button", name="Continue on the phone").click()
    page.get_by_role("button", name=re.compile("Pay")).click()

    expect(page).to_have_url(f"{shop_url}/thanks?a=1&b=2")
    assert customer.merchant.get("invoice-0001")["state"] == "AUTHORIZED"


def test_link_cancelled_at_the_landing_page_leads_back(
    page: Page, customer: Customer, shop_url: str
) -> None:
    """Nobody has to give a number to say no."""
    page.goto(customer.link(returnUrl=f"{shop_url}/sorry"))
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("link", name="Back to the shop").click()

    expect(page).to_have_url(f"{shop_url}/sorry")
    assert customer.merchant.get("invoice-0001")["state"] == "ABORTED"


def test_scanned_code_shows_on_the_phone(page: Page, customer: Customer, shop_url: str) -> None:
    """A payment by QR is picked up by the phone that scans it."""
    link = customer.link(userFlow="QR", qrFormat={"format": "TEXT/TARGETURL"})
    page.goto(link.replace("/landing?", "/qr?"))
    page.get_by_label("Phone that scans").fill(customer.number)
    page.get_by_role("button", name="Continue on the phone").click()
    page.get_by_role("link", name="Close").click()

    expect(page).to_have_url(customer.home)
    expect(banner(page)).to_have_count(1)


def test_withdrawn_request_ends_on_the_open_sheet(page: Page, customer: Customer) -> None:
    """The customer sees at once that the merchant took the request back."""
    reference = customer.ask_briefly()
    page.goto(customer.payment_url(reference))
    expect(page.get_by_role("button", name=re.compile("Pay"))).to_be_visible()

    customer.merchant.cancel(reference)

    expect(page.get_by_role("heading", name="Withdrawn")).to_be_visible()


def test_open_phone_comes_back_after_its_connection_ends(page: Page, customer: Customer) -> None:
    """The server ends each stream after some seconds; nothing is missed meanwhile."""
    with page.expect_event("requestfinished", lambda r: r.url.endswith("/news")):
        page.goto(customer.home)

    customer.ask_briefly()

    expect(banner(page)).to_have_count(1)


@pytest.mark.parametrize("act", ["approve", "reject"])
def test_story_is_told_on_the_home_screen(page: Page, merchant: Merchant, act: str) -> None:
    """What is over stands under Activity, newest first."""
    customer = Customer(merchant, "4799887766" if act == "approve" else "4799887755")
    first, second = customer.ask_briefly(), customer.ask_briefly("invoice-0002")
    merchant.act(act, first)
    merchant.act("approve", second)
    merchant.adjust("capture", second, value=20_000, key="capture-it")

    page.goto(customer.home)

    words = "Reserved" if act == "approve" else "Cancelled by you"
    expect(page.locator(".activity .soft")).to_have_text(["Paid", words])
