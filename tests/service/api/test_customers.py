"""Customers over the API: made, found by number, changed, and erased with all that is theirs."""

from typing import Any

import httpx
import pytest

from service.ledger.consent import withdraw_on_page
from service.store.tables import Customer, StoredAnswer, Withdrawal
from tests.service.api.shop import INVOICE, ONLY_SQLITE, PHONE, Shop

pytestmark = pytest.mark.anyio

KARI = {"phoneNumber": PHONE, "name": "Kari Nordmann"}


async def _add(shop: Shop, **changed: Any) -> dict[str, Any]:
    answer = await shop.client.post("/v1/customers", json={**KARI, **changed})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def _patch(shop: Shop, customer: dict[str, Any], **body: Any) -> httpx.Response:
    return await shop.client.patch(f"/v1/customers/{customer['id']}", json=body)


async def _search(shop: Shop, number: str = PHONE) -> list[str]:
    answer = await shop.client.post("/v1/customers/search", json={"phoneNumber": number})
    return [item["id"] for item in answer.json()["items"]]


async def test_customer_who_is_added_can_be_read_and_pushed(shop: Shop) -> None:
    """A customer that I add can be sent an invoice by id: I vouch for the consent."""
    answer = await shop.client.post("/v1/customers", json={**KARI, "phoneNumber": f"+{PHONE}"})

    made = answer.json()
    read = await shop.client.get(answer.headers["Location"])
    pushed = await shop.create(customer={"id": made["id"]})
    assert answer.status_code == 201
    assert (read.json(), read.headers["ETag"]) == (made, answer.headers["ETag"])
    assert {name: made[name] for name in KARI} == KARI
    assert made["consent"] == {
        "grantedAt": "2026-11-22T10:00:00.000Z",
        "source": "merchant",
        "wording": None,
        "withdrawnAt": None,
    }
    assert pushed.status_code == 201
    assert pushed.json()["customer"] == {"id": made["id"], **KARI}


async def test_same_number_is_the_same_customer_everywhere(shop: Shop) -> None:
    """However it is written, and by whichever call it comes."""
    inline = (await shop.create()).json()["customer"]["id"]

    again = await shop.client.post("/v1/customers", json={"phoneNumber": "47 91 23 45 67"})
    other = await shop.client.post("/v1/customers", json={**KARI, "name": "Ola"})

    assert (again.status_code, again.json()["id"]) == (200, inline)
    assert (other.status_code, other.json()["code"]) == (409, "phone_number_taken")
    assert await _search(shop) == [inline]
    assert len(shop.all(Customer)) == 1


async def test_search_finds_by_number_and_nothing_else(shop: Shop) -> None:
    """I ask by number in the body; nobody's is an empty list."""
    made = await _add(shop)

    assert await _search(shop, f"+{PHONE}") == [made["id"]]
    assert await _search(shop, "4798765432") == []


async def test_customers_are_listed_newest_first_by_pages(shop: Shop) -> None:
    """I can walk through all of them."""
    ids = [(await _add(shop, phoneNumber=f"479123456{n}"))["id"] for n in range(3)]

    first = (await shop.client.get("/v1/customers", params={"limit": 2})).json()
    rest = (await shop.client.get("/v1/customers", params={"cursor": first["cursor"]})).json()

    listed = [item["id"] for item in first["items"] + rest["items"]]
    assert sorted(listed) == sorted(ids) and listed == sorted(ids, reverse=True)
    assert rest["cursor"] is None


async def test_change_takes_what_is_named_and_leaves_the_rest(shop: Shop) -> None:
    """I mend a number without repeating the name, and forget a name by null."""
    made = await _add(shop)

    moved = await _patch(shop, made, phoneNumber="4798765432")
    nameless = await _patch(shop, made, name=None)

    assert (moved.json()["phoneNumber"], moved.json()["name"]) == ("4798765432", KARI["name"])
    assert (nameless.json()["phoneNumber"], nameless.json()["name"]) == ("4798765432", None)
    assert await _search(shop) == []
    assert await _search(shop, "4798765432") == [made["id"]]


async def test_change_to_another_customers_number_is_refused(shop: Shop) -> None:
    """Two customers never share a number."""
    await _add(shop)
    other = await _add(shop, phoneNumber="4798765432")

    answer = await _patch(shop, other, phoneNumber=PHONE)

    assert (answer.status_code, answer.json()["code"]) == (409, "phone_number_taken")


async def test_change_of_an_older_version_is_refused(shop: Shop) -> None:
    """Nobody overwrites what they have not seen."""
    made = await _add(shop)
    address = f"/v1/customers/{made['id']}"
    etag = (await shop.client.get(address)).headers["ETag"]
    await _patch(shop, made, name="Kari N.")

    answers = [
        await shop.client.request(method, address, headers={"If-Match": etag}, json=body)
        for method, body in (("PATCH", {"name": "Ola"}), ("DELETE", {}))
    ]

    assert [answer.status_code for answer in answers] == [412, 412]


async def test_withdrawal_refuses_the_push_and_offers_the_link(shop: Shop) -> None:
    """Whoever withdrew is not asked in the app; the answer holds the link to send instead."""
    invoice = (await shop.create(push=False)).json()
    customer = {"id": invoice["customer"]["id"]}

    withdrawn = await _patch(shop, customer, consent={"withdrawnAt": "2026-11-22T10:00:00Z"})
    push = await shop.client.post(f"/v1/invoices/{invoice['reference']}/push")
    inline = await shop.create(reference="acme-2026-000124")
    link = await shop.create(reference="acme-2026-000124", flow="WEB_REDIRECT")

    assert withdrawn.json()["consent"]["withdrawnAt"] == "2026-11-22T10:00:00.000Z"
    assert (push.status_code, push.json()["code"]) == (409, "consent_withdrawn")
    assert push.json()["pageUrl"] == invoice["pageUrl"]
    assert (inline.status_code, inline.json()["code"]) == (409, "consent_withdrawn")
    assert link.status_code == 201


async def test_withdrawal_ends_with_a_later_consent_only(shop: Shop) -> None:
    """I can record what the customer signed since, and not what they signed before."""
    made = await _add(shop)
    await _patch(shop, made, consent={"withdrawnAt": "2026-11-22T10:00:00Z"})
    shop.later(hours=2)

    before = await _patch(shop, made, consent={"grantedAt": "2026-11-22T09:00:00Z"})
    after = await _patch(
        shop,
        made,
        consent={"grantedAt": "2026-11-22T11:00:00Z", "source": "form", "wording": "v2"},
    )

    assert before.json()["errors"][0]["field"] == "consent.grantedAt"
    assert after.json()["consent"] == {
        "grantedAt": "2026-11-22T11:00:00.000Z",
        "source": "form",
        "wording": "v2",
        "withdrawnAt": None,
    }
    assert shop.all(Withdrawal) == []


async def test_customer_without_consent_is_not_pushed(shop: Shop) -> None:
    """`"consent": null` says that I have none."""
    made = await _add(shop, consent=None)

    answer = await shop.create(customer={"id": made["id"]})

    assert made["consent"] is None
    assert (answer.status_code, answer.json()["code"]) == (409, "consent_missing")


async def test_consent_and_withdrawal_are_told_in_the_feed(shop: Shop) -> None:
    """Subscribers hear of both, by the customer's id alone."""
    made = await _add(shop)
    await _patch(shop, made, consent={"withdrawnAt": "2026-11-22T10:00:00Z"})
    types = "customer.consented,customer.withdrawn"

    feed = await shop.client.get("/v1/events", params={"types": types})

    events = feed.json()["items"]
    assert [event["type"] for event in events] == types.split(",")
    assert all(event["data"]["customer"] == {"id": made["id"]} for event in events)
    assert PHONE not in feed.text and "Kari" not in feed.text
    assert max(len(str(event)) for event in events) < 20_000


async def test_erased_customer_is_gone_and_the_invoice_is_not(shop: Shop) -> None:
    """The person is forgotten; what they owed and paid stays in the books."""
    invoice = (await shop.create(push=False)).json()
    address = f"/v1/customers/{invoice['customer']['id']}"

    erased = await shop.client.delete(address)

    read = (await shop.client.get(f"/v1/invoices/{invoice['reference']}")).json()
    push = await shop.client.post(f"/v1/invoices/{invoice['reference']}/push")
    new = await shop.create(reference="acme-2026-000124", customer={"id": read["customer"]["id"]})
    assert (erased.status_code, erased.content) == (204, b"")
    assert read["amount"] == invoice["amount"]
    assert read["customer"] == {**invoice["customer"], "phoneNumber": None, "name": None}
    assert (push.status_code, push.json()["code"]) == (409, "customer_erased")
    assert (new.status_code, new.json()["code"]) == (409, "customer_erased")
    assert [(await shop.client.get(address)).status_code for _ in "1"] == [404]
    assert (await shop.client.delete(address)).status_code == 404
    assert (await shop.client.get("/v1/customers")).json()["items"] == []
    assert await _search(shop) == []
    row = shop.all(Customer)[0]
    assert (row.phone_lookup, row.wrapped_key, row.personal, row.consent) == (None,) * 4


async def test_erasure_keeps_a_withdrawal_and_nothing_else(shop: Shop) -> None:
    """Whoever withdrew and was erased is not asked when the number comes in again."""
    made = (await shop.create(push=False)).json()["customer"]
    shop.on_invoice(withdraw_on_page)
    await shop.client.delete(f"/v1/customers/{made['id']}")

    pushed = await shop.create(reference="acme-2026-000124")
    again = await _add(shop)

    assert (pushed.status_code, pushed.json()["code"]) == (409, "consent_withdrawn")
    assert again["id"] != made["id"]
    assert again["consent"]["withdrawnAt"] == "2026-11-22T10:00:00.000Z"
    assert len(shop.all(Withdrawal)) == 1


async def test_erasure_forgets_without_a_withdrawal(shop: Shop) -> None:
    """Who never withdrew leaves not even a hash."""
    made = await _add(shop)
    await shop.client.delete(f"/v1/customers/{made['id']}")

    again = await _add(shop)

    assert again["id"] != made["id"]
    assert shop.all(Withdrawal) == []


async def test_stored_answer_of_the_erased_is_not_given_again(shop: Shop) -> None:
    """An answer that showed the person goes with the person's key."""
    key = {"Idempotency-Key": "once"}
    first = await shop.client.post("/v1/invoices", json={**INVOICE, "push": False}, headers=key)
    again = await shop.client.post("/v1/invoices", json={**INVOICE, "push": False}, headers=key)
    await shop.client.delete(f"/v1/customers/{first.json()['customer']['id']}")

    gone = await shop.client.post("/v1/invoices", json={**INVOICE, "push": False}, headers=key)

    assert again.content == first.content
    assert (gone.status_code, gone.json()["code"]) == (409, "customer_erased")
    assert shop.all(StoredAnswer)[0].customer_id == first.json()["customer"]["id"]


@ONLY_SQLITE
@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "phoneNumber"),
        ({"phoneNumber": None}, "phoneNumber"),
        ({"phoneNumber": "12345678"}, "phoneNumber"),
        ({"phoneNumber": "0047912345"}, "phoneNumber"),
        ({"phoneNumber": "4791234567\x00"}, "phoneNumber"),
        ({"phoneNumber": ["4791234567"]}, "phoneNumber"),
        ({"phoneNumber": True}, "phoneNumber"),
        ({**KARI, "name": ""}, "name"),
        ({**KARI, "name": "a\nb"}, "name"),
        ({**KARI, "name": "x" * 101}, "name"),
        ({**KARI, "name": 5}, "name"),
        ({**KARI, "sub": "x"}, "sub"),
        ({**KARI, "id": "cus_1"}, "id"),
        ({**KARI, "consent": True}, "consent"),
        ({**KARI, "consent": {"grantedAt": "yesterday"}}, "consent.grantedAt"),
        ({**KARI, "consent": {"grantedAt": "2026-11-22"}}, "consent.grantedAt"),
        ({**KARI, "consent": {"grantedAt": "2026-12-22T10:00:00Z"}}, "consent.grantedAt"),
        ({**KARI, "consent": {"withdrawnAt": "2027-11-22T10:00:00Z"}}, "consent.withdrawnAt"),
        ({**KARI, "consent": {"source": "+47 912 34 567"}}, "consent.source"),
        ({**KARI, "consent": {"wording": "4791234567"}}, "consent.wording"),
        ({**KARI, "consent": {"by": "me"}}, "consent.by"),
    ],
)
async def test_wrong_field_of_a_customer_is_named(
    shop: Shop, body: dict[str, Any], field: str
) -> None:
    """What I got wrong is said by name, and nothing of it is repeated."""
    answer = await shop.client.post("/v1/customers", json=body)

    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert PHONE not in answer.text
    assert shop.all(Customer) == []


@ONLY_SQLITE
@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"phoneNumber": None}, "phoneNumber"),
        ({"phoneNumber": ""}, "phoneNumber"),
        ({"consent": None}, "consent"),
        ({"erasedAt": "2026-11-22T10:00:00Z"}, "erasedAt"),
        ({"consent": {"withdrawnAt": "2026-11-20T10:00:00Z"}}, "consent.withdrawnAt"),
    ],
)
async def test_wrong_change_of_a_customer_is_named(
    shop: Shop, body: dict[str, Any], field: str
) -> None:
    """A change that can't be is refused whole."""
    made = await _add(shop)

    answer = await _patch(shop, made, **body, name="Ola")

    read = await shop.client.get(f"/v1/customers/{made['id']}")
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert read.json() == made


@ONLY_SQLITE
async def test_number_is_never_part_of_an_address(shop: Shop) -> None:
    """A number in an address would be in every log on the way (I11)."""
    await _add(shop)

    by_number = await shop.client.get(f"/v1/customers/{PHONE}")
    filtered = await shop.client.get("/v1/customers", params={"phoneNumber": PHONE})

    assert by_number.status_code == 404
    assert (filtered.status_code, PHONE in filtered.text) == (422, False)
