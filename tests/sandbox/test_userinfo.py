"""Userinfo: what customers share, written late and readable for a week."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import httpx
import pytest

from tests.sandbox.harness import (
    CALM,
    OTHER_MSN,
    Merchant,
    TurnableClock,
    a_payment,
    sandbox,
)

PROMPT = replace(CALM, userinfo_delay_s=0)
EVERYTHING = "name address email phoneNumber birthDate"


@pytest.fixture(scope="module")
def prompt_url() -> Iterator[str]:
    """Serve a sandbox whose Userinfo is not late."""
    with sandbox(PROMPT) as merchant:
        yield str(merchant.client.base_url)


@pytest.fixture
def prompt(prompt_url: str, merchant: Merchant) -> Merchant:
    """Give a merchant at the sandbox whose Userinfo is not late."""
    merchant.client.base_url = httpx.URL(prompt_url)
    return merchant


def consent(merchant: Merchant, reference: str = "invoice-0001", scope: str = EVERYTHING) -> str:
    """Have a customer share that; return their `sub`."""
    merchant.create(a_payment(reference, profile={"scope": scope}))
    assert merchant.act("approve", reference).status_code == 200
    return str(merchant.get(reference)["profile"]["sub"])


def ask(merchant: Merchant, sub: str) -> httpx.Response:
    """Ask who that is."""
    return merchant.call("GET", f"/vipps-userinfo-api/userinfo/{sub}")


def test_userinfo_tells_what_was_shared(prompt: Merchant) -> None:
    """All that the scope covers is told, in the names of OpenID Connect."""
    prompt.client.put("/sandbox/persons/4791234567", json={"firstName": "Åse"})

    told = ask(prompt, consent(prompt)).json()

    assert (told["given_name"], told["phone_number"]) == ("Åse", "4791234567")
    assert (told["email_verified"], told["birthdate"]) == (True, "1988-12-31")
    assert told["address"]["formatted"] == "Storgata 1\n0155\nOslo\nNO"
    assert "nin" not in told


def test_userinfo_tells_nothing_beyond_the_scope(prompt: Merchant) -> None:
    """What was not asked for is not even a key."""
    told = ask(prompt, consent(prompt, scope="phoneNumber")).json()

    assert set(told) == {"sub", "sid", "phone_number", "phone_number_verified"}


def test_userinfo_tells_the_national_number_where_it_may_be_asked_for(prompt: Merchant) -> None:
    """`nin` needs an approval of the sales unit; the number is nobody's."""
    prompt.client.put(f"/sandbox/sales-units/{prompt.msn}", json={"nin": True})

    told = ask(prompt, consent(prompt, scope="nin")).json()

    assert len(told["nin"]) == 11
    assert int(told["nin"][2:4]) >= 80


def test_userinfo_of_who_has_no_address_has_empty_texts(prompt: Merchant) -> None:
    """A missing address is an object of empty texts."""
    prompt.client.put("/sandbox/persons/4791234567", json={"hasAddress": False})
    sub = consent(prompt, scope="address")

    assert set(ask(prompt, sub).json()["address"].values()) == {""}
    assert prompt.get("invoice-0001")["userDetails"]["addresses"] == []


def test_userinfo_is_written_late() -> None:
    """For a moment after the yes nobody is known; asking again helps."""
    clock = TurnableClock()
    with sandbox(CALM, real_now=clock) as merchant:
        sub = consent(merchant)
        early = ask(merchant, sub)
        clock.ahead = timedelta(seconds=1)
        later = ask(merchant, sub)

    assert (early.status_code, later.status_code) == (404, 200)
    assert early.json()["status"] == "404"


def test_userinfo_is_expired_after_a_week() -> None:
    """168 hours after the consent the values are gone, and the keys stay."""
    with sandbox(PROMPT) as merchant:
        sub = consent(merchant)
        merchant.advance(168 * 3600 - 60)
        before = ask(merchant, sub).json()
        merchant.advance(61)
        after = ask(merchant, sub).json()

    assert before["name"] != "[Expired]"
    assert set(after) == set(before)
    assert after["sub"] == sub
    assert {after[name] for name in ("name", "email", "phone_number")} == {"[Expired]"}
    assert set(after["address"].values()) == {"[Expired]"}


def test_userinfo_of_a_new_consent_is_readable_again() -> None:
    """Who says yes again is the same `sub`, for another week."""
    with sandbox(PROMPT) as merchant:
        first = consent(merchant)
        merchant.advance(169 * 3600)
        merchant.token = None
        second = consent(merchant, "invoice-0002")

        assert first == second
        assert ask(merchant, first).json()["name"] != "[Expired]"


def test_sub_is_of_one_sales_unit(prompt: Merchant) -> None:
    """Another sales unit has another `sub` for the same person, and cannot use this one."""
    mine = consent(prompt)
    prompt.msn = OTHER_MSN
    theirs = consent(prompt)

    assert mine != theirs
    assert ask(prompt, mine).status_code == 404


@pytest.mark.parametrize(("left_out", "status"), [("Ocp", 200), ("Merchant", 200), ("Auth", 401)])
def test_userinfo_needs_a_token_only(prompt: Merchant, left_out: str, status: int) -> None:
    """The subscription key is told to be needed and to be harmful: here it may be left out."""
    path = f"/vipps-userinfo-api/userinfo/{consent(prompt)}"
    headers = {k: v for k, v in prompt.headers().items() if not k.startswith(left_out)}

    assert prompt.client.get(path, headers=headers).status_code == status


def test_userinfo_of_nobody_is_not_found(prompt: Merchant) -> None:
    """Without a consent there is nothing to read, and a bad header is named."""
    long_name = prompt.headers(**{"Vipps-System-Name": "x" * 31})

    assert ask(prompt, "nobody").status_code == 404
    answer = prompt.client.get("/vipps-userinfo-api/userinfo/nobody", headers=long_name)
    assert answer.status_code == 400
