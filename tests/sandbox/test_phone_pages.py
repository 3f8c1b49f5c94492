"""The phone's pages as HTTP: what they may load, and what they refuse."""

import re

import httpx
import pytest

from service.sandbox.phone_views import money
from tests.sandbox.harness import WAIT_S, a_long_payment
from tests.sandbox.phones import Customer, a_customer


def post(customer: Customer, path: str, **fields: str) -> httpx.Response:
    """Send a form as a browser does from our own page."""
    return customer.merchant.client.post(
        path, data=fields, headers={"Sec-Fetch-Site": "same-origin"}
    )


@pytest.mark.parametrize("end", ["", "/cancel", "/consent", "/details"])
def test_page_may_load_nothing_but_our_own_files(customer: Customer, end: str) -> None:
    """No inline script or style, nothing from elsewhere, and no cache keeps it."""
    reference = customer.ask_briefly(profile={"scope": "name"})

    answer = customer.merchant.client.get(customer.payment_url(reference) + end)

    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert "unsafe" not in policy
    assert ("frame-src" in policy) == (end == "/details")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert not re.search(r"<style|style=|<script(?! src=)| on\w+=", answer.text)


def test_merchant_is_called_by_its_name(customer: Customer) -> None:
    """Customers read a shop's name, and its number only where none was set."""
    reference, client = customer.ask_briefly(), customer.merchant.client
    path = f"/sandbox/sales-units/{customer.merchant.msn}"

    before = client.get(customer.home).text
    named = client.put(path, json={"name": "Fjord <Books>"})
    after = client.get(customer.payment_url(reference)).text

    assert named.json()["name"] == "Fjord <Books>"
    assert f"Sales unit {customer.merchant.msn}" in before
    assert "Fjord &lt;Books&gt;" in after
    assert client.put(path, json={"name": 1}).status_code == 400


def test_page_with_all_its_files_is_light(customer: Customer) -> None:
    """A phone on a slow connection loads less than 60 kB."""
    for number in range(12):
        customer.ask_briefly(f"invoice-{number:04d}")
    client = customer.merchant.client

    page = client.get(customer.home)
    files = re.findall(r"/phone/assets/[^\"]+", page.text)
    bytes_total = len(page.content) + sum(len(client.get(path).content) for path in files)

    assert len(files) == 4
    assert bytes_total < 60_000


def test_files_are_kept_by_the_browser_until_they_change(customer: Customer) -> None:
    """Their address has their hash in it; nothing else is served there."""
    client = customer.merchant.client
    path = re.findall(r"/phone/assets/phone.js[^\"]+", client.get(customer.home).text)[0]

    answer = client.get(path)

    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["content-type"].startswith("text/javascript")
    assert client.get("/phone/assets/sheet.html").status_code == 404
    assert client.get("/phone/assets/..%2Fphone.py").status_code == 404


def test_payment_is_not_on_somebody_elses_phone(customer: Customer) -> None:
    """Only the phone that was asked shows the request, and only it can answer."""
    reference = customer.ask_briefly()
    other = a_customer(customer.merchant)

    path = other.payment_url(reference)

    assert customer.merchant.client.get(path).status_code == 404
    assert post(customer, path + "/pay").status_code == 404
    assert reference not in customer.merchant.client.get(other.home).text


@pytest.mark.parametrize("number", ["47", "4791234567x", "1" * 16])
def test_phone_of_no_number_is_not_found(customer: Customer, number: str) -> None:
    """A phone number is nine to fifteen digits."""
    for end in ("", "/news"):
        assert customer.merchant.client.get(f"/phone/{number}{end}").status_code == 404


@pytest.mark.parametrize("typed", ["+47 912 34 567", "0047 91234567", "912 34 567", "91.23.45.67"])
def test_number_is_read_as_people_write_it(customer: Customer, typed: str) -> None:
    """Spaces, the plus and a missing Norwegian country code make no difference."""
    answer = customer.merchant.client.get("/phone", params={"number": typed})

    assert answer.headers["location"] == "/phone/4791234567"


def test_number_that_is_none_is_told_so(customer: Customer) -> None:
    """A typing error stays in its field, with the reason beside it."""
    answer = customer.merchant.client.get("/phone", params={"number": '"><b>'})

    assert answer.status_code == 400
    assert "9 to 15 digits" in answer.text
    assert 'value="&#34;&gt;&lt;b&gt;"' in answer.text


def test_person_without_the_app_cannot_pay(customer: Customer) -> None:
    """7010 as Vipps says it, on the sheet; the payment stays open."""
    reference = customer.ask_briefly()
    customer.merchant.client.put(f"/sandbox/persons/{customer.number}", json={"isUser": False})

    answer = post(customer, customer.payment_url(reference) + "/pay")

    assert (answer.status_code, 'role="alert"' in answer.text) == (409, True)
    assert customer.merchant.get(reference)["state"] == "CREATED"


def test_card_without_money_is_told_on_the_sheet(customer: Customer) -> None:
    """An amount that fails at Vipps fails on the phone too; the customer may try again."""
    amount = {"currency": "DKK", "value": 151}
    reference = customer.ask_briefly(amount=amount)

    answer = post(customer, customer.payment_url(reference) + "/pay")

    assert answer.status_code == 409
    assert "Insufficient funds" in answer.text
    assert customer.merchant.get(reference)["state"] == "CREATED"


def test_approval_without_an_answer_is_told_on_the_sheet(customer: Customer) -> None:
    """Until the bank answers, nobody knows; the phone says that much."""
    reference = customer.ask_briefly()
    customer.merchant.act("begin-authorizing", reference)

    shown = customer.merchant.client.get(customer.payment_url(reference)).text

    assert "An approval is under way" in shown


def test_landing_page_refuses_who_cannot_pay(customer: Customer) -> None:
    """The link still waits for somebody else."""
    link, client = customer.link(), customer.merchant.client
    client.put(f"/sandbox/persons/{customer.number}", json={"isUser": False})
    token = link.split("token=")[1]

    refused = post(customer, "/phone/landing", token=token, number=customer.number)
    wrong = post(customer, "/phone/landing", token=token, number="12")

    assert refused.status_code == 400
    assert wrong.status_code == 400
    assert client.get("/phone/landing", params={"token": token}).status_code == 200


@pytest.mark.parametrize("token", ["", "x", "../x"])
def test_link_with_a_wrong_token_leads_nowhere(customer: Customer, token: str) -> None:
    """A token can't be guessed, and payments without one are not found by none."""
    customer.ask_briefly()

    answer = customer.merchant.client.get("/phone/landing", params={"token": token})

    assert answer.status_code == 404


def test_second_answer_is_refused_politely(customer: Customer) -> None:
    """A sheet left open says what became of the payment meanwhile."""
    reference = customer.ask_for_long()
    customer.merchant.cancel(reference)
    path = customer.payment_url(reference)

    answers = [
        post(customer, path + "/pay"),
        post(customer, path + "/cancel", answer="later"),
        post(customer, path + "/cancel", answer="yes"),
        post(customer, path + "/consent", share="yes"),
    ]

    assert [answer.status_code for answer in answers] == [409] * 4
    assert all("Withdrawn" in answer.text for answer in answers)
    assert "Withdrawn" in customer.merchant.client.get(path + "/consent").text


def test_brief_request_cannot_be_postponed_by_hand(customer: Customer) -> None:
    """The choice that is not shown is not there either."""
    reference = customer.ask_briefly()

    answer = post(customer, customer.payment_url(reference) + "/cancel", answer="later")

    assert answer.status_code == 409
    assert not customer.inspect(reference)["isPostponed"]


@pytest.mark.parametrize("scheme", ["javascript", "data", "myapp"])
def test_return_to_no_web_page_is_not_followed(customer: Customer, scheme: str) -> None:
    """Only a web address becomes a link: scripts hide behind schemes of their own."""
    link = customer.link(returnUrl=f"{scheme}://x/%0aalert(1)")
    token = link.split("token=")[1]

    entered = post(customer, "/phone/landing", token=token, number=customer.number)
    paid = post(customer, entered.headers["location"] + "/pay")
    shown = customer.merchant.client.get(paid.headers["location"])

    assert paid.headers["location"] == entered.headers["location"]
    assert f"{scheme}:" not in shown.text
    assert customer.merchant.client.get(entered.headers["location"] + "/return").status_code == 303


def test_details_in_an_app_are_named_and_not_framed(customer: Customer) -> None:
    """A custom scheme opens an app, which a page can only talk about."""
    reference = customer.ask_for_long(receipt=a_long_payment()["receipt"])
    customer.show(reference, "shop://invoice/1")

    shown = customer.merchant.client.get(customer.payment_url(reference) + "/details").text

    assert "shop://invoice/1" in shown
    assert "<iframe" not in shown


def test_framed_page_can_reach_nothing_of_ours(customer: Customer) -> None:
    """The web view is sandboxed without its origin, and a link stands beside it."""
    reference = customer.ask_briefly()
    customer.show(reference, "https://example.com/i/1?a=1&b=2")

    shown = customer.merchant.client.get(customer.payment_url(reference) + "/details").text

    assert 'sandbox="allow-forms allow-popups allow-scripts"' in shown
    assert 'href="https://example.com/i/1?a=1&amp;b=2" target="_blank" rel="noopener' in shown


def test_news_begin_with_what_the_page_shows(customer: Customer) -> None:
    """A page knows from the first line whether it missed something."""
    client = customer.merchant.client
    shown = re.findall(r'data-version="(\w+)"', client.get(customer.home).text)
    # The harness's client reads every answer to its end before it lets one look.
    with httpx.stream("GET", customer.home + "/news", timeout=WAIT_S) as answer:
        lines = answer.iter_lines()
        first = [next(lines) for _ in range(3)]
        customer.ask_briefly()
        later = [line for line in lines if line.startswith("data")]

    assert first == ["retry: 200", f"data: {shown[0]}", ""]
    assert len(later) == 1 and later[0] != first[1]


@pytest.mark.parametrize(
    ("amount_minor", "currency", "text"),
    [
        (49_900, "NOK", "499 kr"),
        (119_250, "DKK", "1 192,50 kr"),
        (5, "EUR", "0,05 €"),
        (65_000_000, "NOK", "650 000 kr"),
    ],
)
def test_amount_is_written_as_in_the_app(amount_minor: int, currency: str, text: str) -> None:
    """Øre and cents only where there are some, thousands apart."""
    assert money(amount_minor, currency).replace("\u00a0", " ") == text
