"""What another site's page may have a visitor's browser do: nothing."""

from collections.abc import Mapping

import httpx
import pytest
from playwright.sync_api import Page

from tests.sandbox.harness import Merchant, a_payment
from tests.sandbox.phones import Customer

FOREIGN: tuple[Mapping[str, str], ...] = (
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "none"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1.evil.example"},
)


@pytest.mark.parametrize("headers", FOREIGN)
def test_form_from_another_site_is_refused(customer: Customer, headers: Mapping[str, str]) -> None:
    """No page that the customer happens to visit can pay for them."""
    reference = customer.ask_briefly()
    client = customer.merchant.client

    for path in (customer.payment_url(reference) + "/pay", "/sandbox/controls/clock"):
        assert client.post(path, data={"amount": "60"}, headers=headers).status_code == 403

    assert customer.merchant.get(reference)["state"] == "CREATED"


def test_form_from_our_own_page_on_plain_http_is_taken(customer: Customer) -> None:
    """Browsers name only the origin where the connection is not secure."""
    reference = customer.ask_briefly()
    origin = customer.url("")

    answer = customer.merchant.client.post(
        customer.payment_url(reference) + "/pay", headers={"Origin": origin}
    )

    assert answer.status_code == 303
    assert customer.merchant.get(reference)["state"] == "AUTHORIZED"


@pytest.mark.parametrize("headers", FOREIGN)
def test_act_from_another_site_is_refused(merchant: Merchant, headers: Mapping[str, str]) -> None:
    """Nor can it act for them by the calls, which need no key; the answer says why."""
    merchant.create(a_payment("invoice-0001"))
    client, one = merchant.client, "/sandbox/payments/invoice-0001"

    acts = ("approve", "reject", "open-details", "begin-authorizing", "fail-captures")
    msn = {"msn": merchant.msn}
    answers = [client.post(f"{one}/{act}", json=msn, headers=headers) for act in acts]
    answers.append(client.post("/sandbox/clock", json={"advanceSeconds": 1}, headers=headers))
    for path in ("chaos", f"sales-units/{merchant.msn}", "persons/4791234567"):
        answers.append(client.put(f"/sandbox/{path}", json={}, headers=headers))

    assert {answer.status_code for answer in answers} == {403}
    assert {answer.headers["content-type"] for answer in answers} == {"application/problem+json"}
    assert {answer.json()["detail"] for answer in answers} == {
        "A browser sent this from another site's page."
    }
    assert merchant.get("invoice-0001")["state"] == "CREATED"
    assert client.get("/sandbox/clock", headers=headers).json()["offsetSeconds"] == 0


@pytest.mark.parametrize(
    "headers", [{}, {"Sec-Fetch-Mode": "cors"}, {"Sec-Fetch-Site": "same-origin"}]
)
def test_act_of_a_program_or_of_our_own_page_is_taken(
    merchant: Merchant, headers: dict[str, str]
) -> None:
    """Neither curl nor an SDK says where it comes from; Node's `fetch` tells its mode alone."""
    merchant.create(a_payment("invoice-0001"))

    path = "/sandbox/payments/invoice-0001/approve"
    answer = merchant.client.post(path, json={"msn": merchant.msn}, headers=headers)

    assert answer.json()["state"] == "AUTHORIZED"


def test_page_of_another_site_approves_nothing_in_a_browser(
    customer: Customer, shop_url: str, page: Page
) -> None:
    """A real browser sends it, with what tells us; from our own page the same call works."""
    reference = customer.ask_briefly("invoice-of-a-visitor")
    act = customer.url(f"/sandbox/payments/{reference}/approve")
    call = "url => fetch(url, {method: 'POST', mode: 'no-cors', body: '{}'}).then(a => a.status)"

    states = []
    # `localhost` is the same machine by another name, and so another site; by its own name
    # the shop is at another port only.
    for shop in (shop_url, shop_url.replace("127.0.0.1", "localhost")):
        page.goto(shop)
        page.evaluate(call, act)
        states.append(customer.merchant.get(reference)["state"])
    page.goto(customer.url("/sandbox"))
    status = page.evaluate(call, act)

    assert states == ["CREATED", "CREATED"]
    assert (status, customer.merchant.get(reference)["state"]) == (200, "AUTHORIZED")


def test_sandbox_reached_by_its_public_address_takes_its_own_forms(customer: Customer) -> None:
    """Behind a proxy the `Host` may be another one than the page's."""
    reference = customer.ask_briefly()
    address = customer.payment_url(reference) + "/pay"

    answer = httpx.post(
        address, headers={"Origin": "http://127.0.0.1:8080", "Host": "sandbox.internal"}
    )

    assert answer.status_code == 303
