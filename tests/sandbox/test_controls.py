"""The page with the clock, chaos, the last payments and what really happened."""

import pytest
from playwright.sync_api import Page, expect

from tests.sandbox.phones import Customer


def test_clock_is_turned_on_the_page(page: Page, lone_customer: Customer) -> None:
    """A click makes business time go ahead, and what is due happens."""
    reference = lone_customer.ask_briefly()
    page.goto(lone_customer.url("/sandbox"))

    page.get_by_role("button", name="+10 minutes").click()
    page.get_by_label("Ahead by").fill("1,5")
    page.get_by_label("Unit").select_option("hours")
    page.get_by_role("button", name="Turn").click()

    expect(page.get_by_text("0 d 1 h 40 min ahead")).to_be_visible()
    expect(page.get_by_role("row", name=reference).first).to_contain_text("EXPIRED")


@pytest.mark.parametrize("amount", ["-1", "soon", "1e9", "nan"])
def test_clock_refuses_what_is_no_time_ahead(
    page: Page, lone_customer: Customer, amount: str
) -> None:
    """Backwards and beyond a year do not work, and the page says so."""
    page.goto(lone_customer.url("/sandbox"))

    page.get_by_label("Ahead by").fill(amount)
    page.get_by_role("button", name="Turn").click()

    expect(page.get_by_role("alert")).to_contain_text("amount")
    clock = lone_customer.merchant.client.get("/sandbox/clock").json()
    assert clock["offsetSeconds"] == 0


def test_chaos_is_set_and_calmed_on_the_page(page: Page, lone_customer: Customer) -> None:
    """The form shows the plan in force; Calm ends it."""
    client = lone_customer.merchant.client
    page.goto(lone_customer.url("/sandbox"))

    page.get_by_label("Webhooks lost").fill("0.25")
    page.get_by_label("Seed").fill("42")
    page.get_by_role("button", name="Set").click()
    plan = client.get("/sandbox/chaos").json()
    expect(page.get_by_label("Webhooks lost")).to_have_value("0.25")
    page.get_by_role("button", name="Calm").click()

    expect(page.get_by_label("Webhooks lost")).to_have_value("0")
    assert (plan["lose"], plan["seed"]) == (0.25, 42)
    assert client.get("/sandbox/chaos").json()["lose"] == 0


def test_chaos_beyond_one_is_refused_by_name(page: Page, lone_customer: Customer) -> None:
    """A share is at most everything."""
    page.goto(lone_customer.url("/sandbox"))

    page.get_by_label("Webhooks sent twice").fill("2")
    page.get_by_role("button", name="Set").click()

    expect(page.get_by_role("alert")).to_contain_text("duplicate")


@pytest.mark.parametrize(
    ("act", "shown"), [("approves", "AUTHORIZED"), ("rejects", "ABORTED"), ("postpones", "later")]
)
def test_customer_acts_by_a_click_of_the_tester(
    page: Page, lone_customer: Customer, act: str, shown: str
) -> None:
    """No phone has to be picked up to see what a merchant's system does."""
    reference = lone_customer.ask_for_long()
    page.goto(lone_customer.url("/sandbox"))

    page.get_by_role("button", name=act).click()

    row = page.get_by_role("row", name=reference).first
    expect(row).to_contain_text("postponed" if shown == "later" else shown)


def test_act_on_nothing_is_refused(lone_customer: Customer) -> None:
    """A payment that is not there, and an act that is none, change nothing."""
    client, reference = lone_customer.merchant.client, lone_customer.ask_briefly()
    path = f"/sandbox/controls/payments/{lone_customer.merchant.msn}"

    answers = [
        client.post(f"{path}/nothing-here", data={"act": "approve"}),
        client.post(f"{path}/{reference}", data={"act": "begin"}),
        client.post(f"{path}/{reference}"),
        client.post(f"{path}/{reference}", data={"act": "postpone"}),
    ]

    assert [answer.status_code for answer in answers] == [404, 404, 404, 409]
    assert lone_customer.inspect(reference)["state"] == "CREATED"


def test_effects_are_told_the_newest_first(page: Page, lone_customer: Customer) -> None:
    """The ledger's tail says what really happened, and for which key."""
    reference = lone_customer.ask_briefly()
    lone_customer.merchant.act("approve", reference)

    page.goto(lone_customer.url("/sandbox"))

    rows = page.locator("#effects tbody tr")
    expect(rows).to_have_count(2)
    expect(rows.nth(0)).to_contain_text("authorized")
    expect(rows.nth(1)).to_contain_text(f"create-{reference}")
